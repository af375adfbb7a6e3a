//! What an orchestrator puts before replicas: a balancer of connections whose list of them is always a little old.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Hands each connection to the next replica of its list and never tries another; ends when dropped.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    list: Arc<Mutex<Vec<SocketAddr>>>,
    lag: Duration,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Begins with these replicas; every change of the list counts only after `lag`.
    pub(crate) async fn start(replicas: Vec<SocketAddr>, lag: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let list = Arc::new(Mutex::new(replicas));
        let (seen, turn) = (Arc::clone(&list), AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = {
                    let list = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    list[turn.fetch_add(1, Ordering::Relaxed) % list.len()]
                };
                tokio::spawn(async move {
                    // A replica that refuses is a connection that breaks, as with a balancer that only rewrites addresses.
                    if let Ok(mut replica) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut client, &mut replica).await;
                    }
                });
            }
        });
        Self { address, list, lag, task }
    }

    /// Changes the list as soon as the news has got around.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<SocketAddr>) + Send + 'static) {
        let (list, lag) = (Arc::clone(&self.list), self.lag);
        tokio::spawn(async move {
            tokio::time::sleep(lag).await;
            change(&mut list.lock().unwrap_or_else(PoisonError::into_inner));
        });
    }

    /// Returns whether it hands connections to this replica now.
    pub(crate) fn knows(&self, replica: SocketAddr) -> bool {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).contains(&replica)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
