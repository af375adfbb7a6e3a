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
    /// The connections that no answer came back on, and why.
    broken: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Begins with these replicas; every change of the list counts only after `lag`.
    pub(crate) async fn start(replicas: Vec<SocketAddr>, lag: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let list = Arc::new(Mutex::new(replicas));
        let broken = Arc::new(Mutex::new(Vec::new()));
        let (seen, turn, all_broken) = (Arc::clone(&list), AtomicUsize::new(0), Arc::clone(&broken));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = {
                    let list = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    list[turn.fetch_add(1, Ordering::Relaxed) % list.len()]
                };
                let (list, broken) = (Arc::clone(&seen), Arc::clone(&all_broken));
                tokio::spawn(async move {
                    // A replica that refuses is a connection that breaks, as with a balancer that only rewrites addresses.
                    let ended = match TcpStream::connect(to).await {
                        Ok(mut replica) => copy_bidirectional(&mut client, &mut replica).await,
                        Err(error) => Err(error),
                    };
                    if !matches!(ended, Ok((_, 1..))) {
                        let listed = list.lock().unwrap_or_else(PoisonError::into_inner).contains(&to);
                        let why = format!("{to}, {}: {ended:?}", if listed { "listed" } else { "not listed any more" });
                        broken.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                    }
                });
            }
        });
        Self { address, list, lag, broken, task }
    }

    /// Returns of each connection that no answer came back on to whom it was handed, whether that one is still in the list, and
    /// how it ended.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
