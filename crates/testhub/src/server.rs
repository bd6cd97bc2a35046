use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::runtime::{self, Runtime};

use crate::connection::{Connections, Flushes};
use crate::error::Error;
use crate::fault::{Fault, Faults, Lasts, Place};
use crate::log::{Log, Port, Request};
use crate::refusal::Refusal;
use crate::repository::{Kind, RepoId, Repository};
use crate::{api, resolve};

/// The Hub's page: 1,000 entries of a listing.
const PAGE_SIZE: usize = 1000;

/// Time for reads from disk to come to an end when the hub is dropped.
const CLOSING: Duration = Duration::from_secs(5);

/// A running hub on 127.0.0.1, with a port for API and resolver and one for
/// the CDN. It has its own threads, so tests may be async or not. Dropping it
/// closes both ports and every connection.
pub struct TestHub {
    hub: Arc<Hub>,
    runtime: Option<Runtime>,
}

impl TestHub {
    /// A hub on free ports, without repositories.
    ///
    /// # Errors
    /// [`Error::Bind`] and [`Error::Runtime`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// A hub with a given port or page size.
    pub fn builder() -> Builder {
        Builder {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            page_size: PAGE_SIZE,
            seen_as: (None, None),
        }
    }

    /// Serves `repository` from now on, in place of an earlier one with this id.
    pub fn serve(&self, repository: Repository) {
        let mut repositories = self
            .hub
            .repositories
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        repositories.insert(repository.repo_id().clone(), Arc::new(repository));
    }

    /// Where that port listens, whatever clients see.
    pub fn address(&self, port: Port) -> SocketAddr {
        match port {
            Port::Hub => self.hub.addresses.0,
            Port::Cdn => self.hub.addresses.1,
        }
    }

    /// `http://127.0.0.1:PORT`, what clients call the endpoint.
    pub fn endpoint(&self) -> &str {
        &self.hub.endpoint
    }

    /// `http://127.0.0.1:PORT` of the CDN.
    pub fn cdn(&self) -> &str {
        &self.hub.cdn
    }

    /// Puts a fault in force until [`clear_faults`](Self::clear_faults).
    pub fn inject(&self, fault: Fault) {
        self.hub.faults.add(fault, Lasts::UntilCleared);
    }

    /// Puts a fault in force for the next answer that it fits.
    pub fn inject_once(&self, fault: Fault) {
        self.hub.faults.add(fault, Lasts::Once);
    }

    /// Refuses a fault that would never show: what is served has no such file, or not so long a
    /// one.
    ///
    /// # Errors
    /// [`Error::FaultNowhere`].
    pub fn require_effect(&self, fault: &Fault) -> Result<(), Error> {
        let Some((path, at)) = fault.spot() else {
            return Ok(());
        };
        let repositories = self
            .hub
            .repositories
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match repositories.values().any(|served| served.has(path, at)) {
            true => Ok(()),
            false => Err(Error::FaultNowhere {
                path: path.to_owned(),
                at,
            }),
        }
    }

    /// Makes the hub honest again.
    pub fn clear_faults(&self) {
        self.hub.faults.clear();
    }

    /// Every request so far on both ports, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.hub.log.requests()
    }

    /// The requests that arrived at `port`.
    pub fn requests_at(&self, port: Port) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.port == port)
            .collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.hub.log.clear();
    }
}

impl fmt::Debug for TestHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hub = f.debug_struct("TestHub");
        hub.field("endpoint", &self.hub.endpoint)
            .field("cdn", &self.hub.cdn)
            .finish()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be waited for on a thread of another runtime,
            // which an async test's is.
            thread::spawn(|| runtime.shutdown_timeout(CLOSING))
                .join()
                .ok();
        }
    }
}

/// Options of a [`TestHub`].
#[derive(Clone, Debug)]
pub struct Builder {
    host: IpAddr,
    port: u16,
    page_size: usize,
    seen_as: (Option<String>, Option<String>),
}

impl Builder {
    /// The port of API and resolver; 0 is a free one. The CDN's is always free.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address of both ports, `127.0.0.1` unless given.
    #[must_use]
    pub fn host(mut self, host: impl Into<IpAddr>) -> Self {
        self.host = host.into();
        self
    }

    /// What the hub calls this port in its answers, where something stands before it: TLS, or a
    /// proxy that knows names.
    #[must_use]
    pub fn seen_as(mut self, port: Port, url: &str) -> Self {
        let seen = match port {
            Port::Hub => &mut self.seen_as.0,
            Port::Cdn => &mut self.seen_as.1,
        };
        *seen = Some(url.to_owned());
        self
    }

    /// Entries on a page of a listing; at least 1.
    #[must_use]
    pub fn page_size(mut self, entries: usize) -> Self {
        self.page_size = entries.max(1);
        self
    }

    /// Starts the hub; when this returns, it answers.
    ///
    /// # Errors
    /// [`Error::Bind`] and [`Error::Runtime`].
    pub fn start(self) -> Result<TestHub, Error> {
        let (hub_socket, hub_address) = bind(self.host, self.port)?;
        let (cdn_socket, cdn_address) = bind(self.host, 0)?;
        let (endpoint, cdn) = self.seen_as;
        let endpoint = endpoint.unwrap_or_else(|| format!("http://{hub_address}"));
        let cdn = cdn.unwrap_or_else(|| format!("http://{cdn_address}"));
        let hub = Arc::new(Hub {
            repositories: RwLock::default(),
            faults: Faults::default(),
            log: Log::default(),
            page_size: self.page_size,
            addresses: (hub_address, cdn_address),
            endpoint,
            cdn,
        });
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let pages = api::routes().merge(resolve::routes());
        listen(&runtime, hub_socket, observed(&hub, Port::Hub, pages))?;
        listen(
            &runtime,
            cdn_socket,
            observed(&hub, Port::Cdn, resolve::cdn_routes()),
        )?;
        Ok(TestHub {
            hub,
            runtime: Some(runtime),
        })
    }
}

/// What all handlers share.
pub(crate) struct Hub {
    repositories: RwLock<BTreeMap<RepoId, Arc<Repository>>>,
    pub(crate) faults: Faults,
    log: Log,
    pub(crate) page_size: usize,
    addresses: (SocketAddr, SocketAddr),
    pub(crate) endpoint: String,
    pub(crate) cdn: String,
}

impl Hub {
    pub(crate) fn repository(&self, id: &RepoId) -> Result<Arc<Repository>, Refusal> {
        let repositories = self
            .repositories
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        repositories.get(id).cloned().ok_or(Refusal::RepoNotFound)
    }
}

/// The parts of a URL's path.
#[derive(Deserialize)]
pub(crate) struct Target {
    #[serde(default)]
    pub(crate) kind: Kind,
    owner: String,
    name: String,
    #[serde(default = "main_branch")]
    pub(crate) rev: String,
    #[serde(default)]
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn repo_id(&self) -> RepoId {
        RepoId {
            kind: self.kind,
            owner: self.owner.clone(),
            name: self.name.clone(),
        }
    }
}

fn main_branch() -> String {
    "main".to_owned()
}

/// `path` percent-encoded for a URL, its slashes kept (RFC 3986, section 2.3).
pub(crate) fn encoded(path: &str) -> String {
    let mut url = String::new();
    for byte in path.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-._~/".contains(c) => url.push(c),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

fn bind(host: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let error = |source| Error::Bind { port, source };
    let socket = TcpListener::bind((host, port)).map_err(error)?;
    socket.set_nonblocking(true).map_err(error)?;
    let address = socket.local_addr().map_err(error)?;
    Ok((socket, address))
}

fn listen(runtime: &Runtime, socket: TcpListener, pages: Router) -> Result<(), Error> {
    let _entered = runtime.enter();
    let socket = tokio::net::TcpListener::from_std(socket).map_err(Error::Runtime)?;
    let pages = pages.into_make_service_with_connect_info::<Flushes>();
    runtime.spawn(axum::serve(Connections(socket), pages).into_future());
    Ok(())
}

/// Logs each request, numbers each answer, and lets faults of a whole place come first.
fn observed(hub: &Arc<Hub>, port: Port, pages: Router<Arc<Hub>>) -> Router {
    let observe = move |State(hub): State<Arc<Hub>>, request: HttpRequest, next: Next| async move {
        let (parts, body) = request.into_parts();
        let number = hub.log.push(Request::new(port, &parts));
        let place = place(port, parts.uri.path());
        let mut response = match refused(&hub, place) {
            Some(refusal) => refusal.into_response(),
            None => next.run(HttpRequest::from_parts(parts, body)).await,
        };
        let id = HeaderValue::try_from(format!("testhub-{number}"));
        if let Ok(id) = id {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-request-id"), id);
        }
        add_headers(&hub, place, &mut response);
        response
    };
    pages
        .fallback(|| async { Refusal::PageNotFound })
        .layer(middleware::from_fn_with_state(hub.clone(), observe))
        .with_state(hub.clone())
}

/// The headers of faults, beside those that are there.
fn add_headers(hub: &Hub, asked: Place, response: &mut Response) {
    let added = hub.faults.all(|fault| match fault {
        Fault::Header { place, name, value } if *place == asked => {
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        }
        _ => None,
    });
    for (name, value) in added {
        response.headers_mut().append(name, value);
    }
}

fn place(port: Port, path: &str) -> Place {
    match path.strip_prefix("/api/") {
        _ if port == Port::Cdn => Place::Cdn,
        Some(rest) if rest.split('/').nth(3) == Some("tree") => Place::Tree,
        Some(_) => Place::Api,
        None => Place::Resolve,
    }
}

fn refused(hub: &Hub, asked: Place) -> Option<Refusal> {
    hub.faults.find(|fault| match fault {
        Fault::Status { place, status } if *place == asked => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(Refusal::Injected(status))
        }
        Fault::TooManyRequests { place, retry_after } if *place == asked => {
            Some(Refusal::TooManyRequests {
                retry_after: *retry_after,
            })
        }
        _ => None,
    })
}
