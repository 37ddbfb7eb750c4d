//! A fault-injecting TCP proxy. Clients keep one address while the upstream server restarts on other ports, and a test
//! cuts connections in the middle of a request or before the response arrives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// When a connection is cut. The first connection that gets there is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After this many more bytes from clients.
    Request(usize),
    /// When the server responds; the client receives nothing of the response.
    Response,
}

#[derive(Debug)]
struct Shared {
    upstream: AtomicU16,
    next: Mutex<Option<Cut>>,
    /// The number of connections that were cut.
    cuts: watch::Sender<usize>,
}

/// A proxy that listens on 127.0.0.1 and forwards connections to a port of this machine.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy that forwards to `port` of this machine.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(port),
            next: Mutex::new(None),
            cuts: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// The proxy's URL for clients: `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forwards new connections to another port; open connections are not affected.
    pub fn forward_to(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::SeqCst);
    }

    /// Cuts one connection and returns after it was cut.
    ///
    /// # Panics
    /// If another cut is pending.
    pub async fn cut(&self, cut: Cut) {
        let mut cuts = self.shared.cuts.subscribe();
        cuts.mark_unchanged();
        let before = self.shared.next.lock().expect("no holder panics").replace(cut);
        assert!(before.is_none(), "one cut at a time");
        let _ = cuts.changed().await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// If the connection must be cut within the next `n` bytes from a client: the number of bytes to forward before.
    fn cuts_request(&self, n: usize) -> Option<usize> {
        let mut next = self.next.lock().expect("no holder panics");
        let Some(Cut::Request(left)) = *next else { return None };
        *next = (left > n).then(|| Cut::Request(left - n));
        next.is_none().then_some(left)
    }

    fn cuts_response(&self) -> bool {
        self.next.lock().expect("no holder panics").take_if(|cut| *cut == Cut::Response).is_some()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let port = shared.upstream.load(Ordering::SeqCst);
            // If no server listens, the client's connection is closed.
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            // When one direction ends or is cut, both end.
            let cut = tokio::select! {
                cut = requests(from_client, to_server, &shared) => cut,
                cut = responses(from_server, to_client, &shared) => cut,
            };
            if cut {
                shared.cuts.send_modify(|cuts| *cuts += 1);
            }
        });
    }
}

/// Forwards requests. Returns whether the connection was cut.
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

/// Forwards responses. Returns whether the connection was cut.
async fn responses(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return false };
        if shared.cuts_response() {
            return true;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return false;
        }
    }
}
