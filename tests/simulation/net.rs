//! The two traits that the server is written against, on a [`World`](super::world::World): thin, for all is decided there.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use frameloop::server::net::{Net, Ready, Transport};

use super::memory::uncounted;
use super::tally::Deed;
use super::world::Shared;

/// The server's view of the world.
pub(crate) struct SimNet(pub(crate) Shared);

impl Net for SimNet {
    type Transport = SimTransport;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        uncounted(|| world.poll(timeout));
        ready.extend_from_slice(&world.reported);
        Ok(())
    }

    fn now(&mut self) -> Instant {
        self.0.borrow_mut().tell_time()
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(SimTransport, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        if world.descriptor_shortage > 0 {
            world.descriptor_shortage -= 1;
            world.tally.note(Deed::NoDescriptor);
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let index = uncounted(|| world.accept())?;
        Ok((SimTransport { world: self.0.clone(), index }, address_of(index)))
    }

    fn refuse_next(&mut self, _listener: usize, refuse: impl FnOnce(SimTransport)) -> io::Result<SocketAddr> {
        let mut world = self.0.borrow_mut();
        if !world.has_spare {
            world.tally.note(Deed::NoSpareDescriptor);
            return Err(ErrorKind::OutOfMemory.into());
        }
        let index = uncounted(|| world.accept())?;
        drop(world);
        refuse(SimTransport { world: self.0.clone(), index });
        Ok(address_of(index))
    }

    fn register(&mut self, transport: &mut SimTransport, key: usize) -> io::Result<()> {
        self.0.borrow_mut().register(transport.index, key)
    }

    fn stop_requests(&mut self) -> usize {
        self.0.borrow_mut().stop_requests()
    }

    fn stop_listening(&mut self) {
        self.0.borrow_mut().stop_listening();
    }
}

fn address_of(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], index as u16))
}

pub(crate) struct SimTransport {
    world: Shared,
    index: usize,
}

impl Transport for SimTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uncounted(|| self.world.borrow_mut().read(self.index, buffer))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uncounted(|| self.world.borrow_mut().write(self.index, &[bytes]))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(slices.iter().all(|slice| !slice.is_empty()), "an empty slice is wasted");
        uncounted(|| {
            let slices: Vec<&[u8]> = slices.iter().map(|slice| &slice[..]).collect();
            self.world.borrow_mut().write(self.index, &slices)
        })
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.world.borrow_mut().shutdown_write(self.index)
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        uncounted(|| self.world.borrow_mut().drop_transport(self.index));
    }
}

/// What Linux says when there is no descriptor.
const EMFILE: i32 = 24;
