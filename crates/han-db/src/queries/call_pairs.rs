//! Pairs results with calls. A provider may give several calls of a session the same id, such as `Bash_0` in every turn. So
//! a result belongs to the nearest preceding call with its id.

/// The place of a line in its session. `File` identifies the file: its name, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place<File> {
    /// Milliseconds since the epoch.
    pub at: i64,
    pub file: File,
    /// The line in the file, and the position among the records of the line.
    pub line: (i64, i64),
}

/// The index of the call that a result answers, of the calls with its id: the nearest one that precedes it in its file;
/// else the latest one that is not later, in another file; else the earliest one. `None` if there is no call.
pub(crate) fn call_of<File: PartialEq>(result: &Place<File>, calls: &[Place<File>]) -> Option<usize> {
    let indexes = || 0..calls.len();
    let in_file = indexes().filter(|index| calls[*index].file == result.file);
    let nearest =
        in_file.filter(|index| calls[*index].line < result.line).max_by_key(|index| calls[*index].line);
    let elsewhere = || {
        let others = indexes().filter(|index| calls[*index].file != result.file);
        others.filter(|index| calls[*index].at <= result.at).max_by_key(|index| calls[*index].at)
    };
    nearest
        .or_else(elsewhere)
        .or_else(|| indexes().min_by_key(|index| (calls[*index].at, calls[*index].line)))
}

#[cfg(test)]
mod tests {
    use super::{Place, call_of};

    #[test]
    fn a_result_belongs_to_the_nearest_preceding_call() {
        let place = |at, file, line| Place { at, file, line: (line, 0) };
        let calls = [place(10, 1, 1), place(30, 1, 5), place(20, 1, 3), place(25, 2, 9)];
        for (result, call) in [
            // By the order of the file, whatever the times are.
            (place(11, 1, 2), Some(0)),
            (place(99, 1, 4), Some(2)),
            (place(0, 1, 6), Some(1)),
            // Of another file, by time.
            (place(26, 3, 0), Some(3)),
            (place(27, 2, 1), Some(2)),
            (place(5, 3, 0), Some(0)),
        ] {
            assert_eq!(call_of(&result, &calls), call, "{result:?}");
        }
        let same_line = [Place { at: 1, file: 1, line: (1, 0) }, Place { at: 1, file: 1, line: (1, 2) }];
        assert_eq!(call_of(&Place { at: 1, file: 1, line: (1, 1) }, &same_line), Some(0));
        assert_eq!(call_of(&place(1, 1, 1), &[]), None);
    }
}
