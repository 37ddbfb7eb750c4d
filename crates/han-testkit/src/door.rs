//! A TCP door in front of a server: clients keep one address while the server behind it comes and goes, and a test
//! cuts connections where it wants, in the middle of a request or after the server has answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where the next connection that gets there is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After so many further bytes from a client.
    Request(usize),
    /// As soon as the server answers; nothing of the answer arrives.
    Answer,
}

#[derive(Debug)]
struct Shared {
    behind: AtomicU16,
    next: Mutex<Option<Cut>>,
    /// How many connections were cut.
    cuts: watch::Sender<usize>,
}

/// A listener on 127.0.0.1 that hands connections on.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Door {
    /// Opens one to `port` of this machine.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn open(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared {
            behind: AtomicU16::new(port),
            next: Mutex::new(None),
            cuts: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// What clients ask: `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Hands new connections on to another port; those that are open stay.
    pub fn lead_to(&self, port: u16) {
        self.shared.behind.store(port, Ordering::SeqCst);
    }

    /// Cuts one connection, and comes back when it has.
    ///
    /// # Panics
    /// Where another cut is still due.
    pub async fn cut(&self, cut: Cut) {
        let mut cuts = self.shared.cuts.subscribe();
        cuts.mark_unchanged();
        let before = self.shared.next.lock().expect("no holder panics").replace(cut);
        assert!(before.is_none(), "one cut at a time");
        let _ = cuts.changed().await;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// How many of `n` bytes from a client may still pass, where it is then cut.
    fn cuts_request(&self, n: usize) -> Option<usize> {
        let mut next = self.next.lock().expect("no holder panics");
        let Some(Cut::Request(left)) = *next else { return None };
        *next = (left > n).then(|| Cut::Request(left - n));
        next.is_none().then_some(left)
    }

    fn cuts_answer(&self) -> bool {
        self.next.lock().expect("no holder panics").take_if(|cut| *cut == Cut::Answer).is_some()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let port = shared.behind.load(Ordering::SeqCst);
            // Where nobody listens, the client finds its connection closed.
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            // Whichever side ends first, or is cut, ends both.
            let cut = tokio::select! {
                cut = requests(from_client, to_server, &shared) => cut,
                cut = answers(from_server, to_client, &shared) => cut,
            };
            if cut {
                shared.cuts.send_modify(|cuts| *cuts += 1);
            }
        });
    }
}

/// Whether it was cut.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return false };
        if let Some(pass) = shared.cuts_request(n) {
            let _ = to.write_all(&buffer[..pass]).await;
            return true;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return false;
        }
    }
}

/// Whether it was cut.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return false };
        if shared.cuts_answer() {
            return true;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return false;
        }
    }
}
