//! Suspends a session: keeps its state without its borrows.

use super::Session;
use super::prefix::Prefix;
use super::reading::Reading;
use crate::error::RunError;
use crate::format::memory::MemoryPlan;
use crate::kernels::Kernels;
use crate::model::Model;
use crate::threads::Threads;
use crate::workspace::Workspace;

/// The state of a session without the model and the arena that it borrows.
///
/// A model, a session that borrows it, and its arena cannot be fields of one structure. A model, a
/// suspended session and an arena can: each call resumes the session, which takes about as long as
/// dividing the arena into buffers.
///
/// ```
/// use kinglet::{Aligned, Error, Model, Session, Suspended};
///
/// struct Assistant<'m> {
///     model: Model<'m>,
///     arena: Aligned<[u8; 4096]>,
///     session: Suspended,
/// }
///
/// impl Assistant<'_> {
///     /// Reads one more token of the text.
///     fn hear(&mut self, id: u32) -> Result<(), Error> {
///         let mut session = Session::resume(&self.model, &mut self.arena.0, &self.session)?;
///         session.step(id)?;
///         self.session = session.suspend();
///         Ok(())
///     }
/// }
/// # let _ = Assistant::hear;
/// ```
#[derive(Clone)]
pub struct Suspended {
    kernels: &'static Kernels,
    plan: MemoryPlan,
    /// The checksum of the prefix; 0 without one.
    prefix: u32,
    first: usize,
    position: usize,
    beam: usize,
    last_tile: usize,
    reading: Reading,
    source: usize,
    passes: u32,
    step: usize,
}

impl core::fmt::Debug for Suspended {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Suspended")
            .field("kernels", &self.kernels.name)
            .field("position", &self.position)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl<'s, 'm> Session<'s, 'm> {
    /// Suspends the session, which releases model and arena. After the session is
    /// [resumed](Self::resume) with an arena of equal contents, a [`Pass`](super::Pass) can be
    /// continued.
    pub fn suspend(self) -> Suspended {
        let prefix = self.prefix_checksum();
        let Self { kernels, plan, first, position, beam, last_tile, reading, source, passes, step, .. } = self;
        Suspended { kernels, plan, prefix, first, position, beam, last_tile, reading, source, passes, step }
    }

    /// Resumes a suspended session with its model, in an arena with the contents of its arena.
    /// Other contents give wrong results, but no panic. The session has only the caller's thread
    /// and no [pause](Self::set_pause).
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] and [`RunError::ArenaMisaligned`]; [`RunError::BadPrefix`] when
    /// the session had a prefix: use [`resume_after`](Self::resume_after).
    pub fn resume(model: &'s Model<'m>, arena: &'s mut [u8], suspended: &Suspended) -> Result<Self, RunError> {
        Self::take_up(model, None, arena, suspended)
    }

    /// [`resume`](Self::resume) for a session with a prefix.
    ///
    /// # Errors
    /// The errors of [`resume`](Self::resume); [`RunError::BadPrefix`] when the session had another
    /// prefix.
    pub fn resume_after(
        model: &'s Model<'m>,
        prefix: Prefix<'m>,
        arena: &'s mut [u8],
        suspended: &Suspended,
    ) -> Result<Self, RunError> {
        Self::take_up(model, Some(prefix), arena, suspended)
    }

    fn take_up(
        model: &'s Model<'m>,
        prefix: Option<Prefix<'m>>,
        arena: &'s mut [u8],
        suspended: &Suspended,
    ) -> Result<Self, RunError> {
        let Suspended { kernels, plan, first, position, beam, last_tile, reading, source, passes, step, .. } =
            suspended.clone();
        if prefix.as_ref().map_or(0, Prefix::checksum) != suspended.prefix {
            return Err(RunError::BadPrefix("the session that was suspended had another one, or none"));
        }
        let workspace = Workspace::new(model.spec(), &plan, arena)?;
        let threads = Threads::default();
        Ok(Self {
            model,
            kernels,
            plan,
            workspace,
            prefix,
            first,
            position,
            beam,
            last_tile,
            reading,
            head: None,
            step,
            source,
            passes,
            threads,
            pause: None,
        })
    }
}
