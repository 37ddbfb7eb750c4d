//! Variable-length integers of a segment's content: LEB128 (seven bits to a byte, least significant first), and zigzag
//! for signed numbers. Each number has exactly one form.

/// The longest form of a number of 64 bits.
const MAX_LEN: usize = 10;

/// Appends `n`.
pub(super) fn write(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The length of `n`, in bytes.
pub(super) fn len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads a number and moves `bytes` past it.
///
/// # Errors
/// What is wrong: the number is cut off, longer than necessary, or has more than 64 bits.
pub(super) fn read(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut n = 0;
    for (index, &byte) in bytes.iter().enumerate().take(MAX_LEN) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit left.
        if index == MAX_LEN - 1 && byte > 1 {
            return Err("a number has more than 64 bits");
        }
        n |= bits << (7 * index);
        if byte < 0x80 {
            if byte == 0 && index > 0 {
                return Err("a number is longer than necessary");
            }
            *bytes = &bytes[index + 1..];
            return Ok(n);
        }
    }
    Err("a number is cut off")
}

/// Maps numbers of small magnitude to small numbers: 0, −1, 1, −2, 2 to 0, 1, 2, 3, 4.
pub(super) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// Undoes [`zigzag`].
pub(super) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{len, read, unzigzag, write, zigzag};

    proptest! {
        #[test]
        fn numbers_round_trip_in_their_only_form(n: u64, shift in 0..64) {
            // Numbers of every length.
            let n = n >> shift;
            let mut bytes = Vec::new();
            write(&mut bytes, n);
            prop_assert_eq!(bytes.len(), len(n));
            let mut rest = &bytes[..];
            prop_assert_eq!(read(&mut rest), Ok(n));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(zigzag(unzigzag(n)), n);
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&mut &bytes[..cut]), Err("a number is cut off"));
            }
        }

        #[test]
        fn bytes_that_are_a_number_are_its_form(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = &bytes[..];
            if let Ok(n) = read(&mut rest) {
                let mut again = Vec::new();
                write(&mut again, n);
                prop_assert_eq!(&again, &bytes[..bytes.len() - rest.len()]);
            }
        }
    }

    #[test]
    fn numbers_at_the_limits_have_the_documented_forms() {
        for (n, form) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, n);
            assert_eq!((bytes.as_slice(), len(n)), (form, form.len()));
        }
        for (n, mapped) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)]
        {
            assert_eq!((zigzag(n), unzigzag(mapped)), (mapped, n));
        }
        let ten = |last| [&[0xff; 9][..], &[last]].concat();
        assert_eq!(read(&mut &[0x80, 0][..]), Err("a number is longer than necessary"));
        assert_eq!(read(&mut &ten(2)[..]), Err("a number has more than 64 bits"));
        assert_eq!(read(&mut &ten(0x80)[..]), Err("a number has more than 64 bits"));
    }
}
