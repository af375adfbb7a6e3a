//! Connections to the main listener: how many there are, and what one of them may hold.
//!
//! Guarantees that no request is read from a connection while answers to earlier ones are not taken, that at most [`MOST_OWED`]
//! requests wait in one for their turn, and that whoever does not take an answer is cut off. Those beyond the bounds are closed
//! unread. It does not know what the requests are.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_http::{HttpService, Protocol};
use actix_server::{Server, ServerBuilder};
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Requests of one connection that were read and not begun, about; each takes 1 KiB. Browsers and clients send one.
const MOST_OWED: usize = 32;

/// The most that is read at once, so that what was read can be counted in time.
const READ_BYTES: usize = 4096;

/// How long nothing is read from a connection with so many requests waiting before it is believed that something else was
/// counted: blank lines in a body.
const RECOUNT: Duration = Duration::from_secs(1);

/// What has to be taken within the time of a stall.
const TAKEN_BYTES: usize = 16 * 1024;

/// How many connections there may be, and how long one may stall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In all.
    pub(super) all: usize,
    /// From one address: that of a reverse proxy, where there is one.
    pub(super) per_address: usize,
    /// How long an answer may wait to be taken.
    pub(super) stall: Duration,
}

/// Serves an application on a listener.
pub(super) fn serve<T, B>(
    server: ServerBuilder,
    listener: TcpListener,
    bounds: Bounds,
    app: impl Fn() -> App<T> + Send + Clone + 'static,
) -> io::Result<Server>
where
    T: ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<B>, Error = Error, InitError = ()>
        + 'static,
    B: MessageBody + 'static,
{
    let (places, stopping) = (Places::new(bounds), server.graceful_shutdown_signal());
    let server = server.listen("main", listener, move || {
        let (places, stopping) = (places.clone(), stopping.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(Rc::clone(&connection.ledger));
            })
            .finish(map_config(app().wrap(from_fn(begin)), |()| AppConfig::default()));
        let accept = fn_service(move |io: TcpStream| {
            let places = places.clone();
            async move {
                let peer = io.peer_addr()?;
                // The end of an answer of unknown length is a small segment of its own.
                io.set_nodelay(true)?;
                let place = places.take(peer.ip()).ok_or_else(|| io::Error::from(ErrorKind::ConnectionRefused))?;
                Ok::<_, actix_http::error::DispatchError>((Connection::new(io, place), Protocol::Http1, Some(peer)))
            }
        });
        accept.and_then(http)
    })?;
    Ok(server.run())
}

/// Counts a request that is begun.
async fn begin<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    if let Some(ledger) = request.conn_data::<Rc<Ledger>>() {
        ledger.begin();
    }
    next.call(request).await
}

/// The connections there are.
#[derive(Clone)]
struct Places {
    bounds: Bounds,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// When it was last told that there are too many.
    told: Option<Instant>,
}

/// The place of one connection, until it is dropped.
struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, held: Arc::default() }
    }

    /// Takes a place, if there is one.
    fn take(&self, address: IpAddr) -> Option<Place> {
        let mut held = self.held();
        let here = held.by_address.get(&address).copied().unwrap_or(0);
        if held.all >= self.bounds.all || here >= self.bounds.per_address {
            held.tell(address, here);
            return None;
        }
        held.all += 1;
        held.by_address.insert(address, here + 1);
        Some(Place { places: self.clone(), address })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Warns, once in 10 s.
    fn tell(&mut self, address: IpAddr, here: usize) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now - told >= Duration::from_secs(10)) {
            self.told = Some(now);
            tracing::warn!(
                peer = %address, connections = self.all, connections.of_address = here,
                "too many connections: closed one at once (server.connections, server.connections_per_address)"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        held.all -= 1;
        match held.by_address.get_mut(&self.address) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(held.by_address.remove(&self.address)),
        }
    }
}

/// The requests of one connection that were read and not begun.
#[derive(Default)]
struct Ledger {
    owed: Cell<usize>,
    /// Who waits to read.
    reader: RefCell<Option<Waker>>,
}

impl Ledger {
    fn begin(&self) {
        self.owed.set(self.owed.get().saturating_sub(1));
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A connection that is read as fast as its answers are taken.
struct Connection {
    io: TcpStream,
    ledger: Rc<Ledger>,
    /// What was read ends with a line break.
    line_ended: bool,
    recount: Option<Pin<Box<Sleep>>>,
    /// Until when what waits has to be taken, and how much of it was.
    stall: Option<(Pin<Box<Sleep>>, usize)>,
    stall_timeout: Duration,
    _place: Place,
}

impl Connection {
    fn new(io: TcpStream, place: Place) -> Self {
        let (ledger, stall_timeout) = (Rc::default(), place.places.bounds.stall);
        Self { io, ledger, line_ended: false, recount: None, stall: None, stall_timeout, _place: place }
    }

    /// Counts the ends of heads: empty lines.
    fn count(&mut self, read: &[u8]) {
        let mut ends = 0;
        for byte in read {
            match byte {
                b'\n' if std::mem::replace(&mut self.line_ended, true) => ends += 1,
                b'\n' | b'\r' => {}
                _ => self.line_ended = false,
            }
        }
        self.ledger.owed.set(self.ledger.owed.get() + ends);
    }

    /// Waits until no answer waits to be taken and not too many requests wait for their turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let full = self.ledger.owed.get() >= MOST_OWED;
        if self.stall.is_none() && !full {
            self.recount = None;
            return Poll::Ready(());
        }
        self.ledger.reader.replace(Some(cx.waker().clone()));
        if full && self.stall.is_none() {
            let recount = self.recount.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + RECOUNT)));
            ready!(recount.as_mut().poll(cx));
            self.recount = None;
            self.ledger.owed.set(0);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Notes what was written of what there was: an error when too little is taken in time.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<usize>, all: usize) -> Poll<io::Result<usize>> {
        let timeout = self.stall_timeout;
        match written {
            Poll::Ready(written) => {
                let done = self.stall.as_mut().is_some_and(|(_, taken)| {
                    *taken += written;
                    written == all || *taken >= TAKEN_BYTES
                });
                if done {
                    self.stall = None;
                    self.ledger.wake();
                }
                Poll::Ready(Ok(written))
            }
            Poll::Pending => {
                let (until, _) = self.stall.get_or_insert_with(|| (Box::pin(sleep_until(Instant::now() + timeout)), 0));
                ready!(until.as_mut().poll(cx));
                tracing::debug!("cut a connection whose answers are not taken");
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_turn(cx));
        let room = buffer.remaining().min(READ_BYTES);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        this.count(part.filled());
        let length = part.filled().len();
        buffer.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        match written {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(written)) => this.written(cx, Poll::Ready(written), bytes.len()),
            Poll::Pending => this.written(cx, Poll::Pending, bytes.len()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
