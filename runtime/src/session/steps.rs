//! How long steps are, and what is called between two of them.

use super::Session;

impl<'s> Session<'s, '_> {
    /// Calls `pause` between any two steps of whatever runs in this session in one call:
    /// [`encode`](Self::encode), [`prefill`](Self::prefill), the tasks, generation and searches.
    /// Firmware feeds its watchdog there, or polls a serial line.
    ///
    /// A step is one that [`advance`](Self::advance) takes, or some kilobytes of a snapshot. Code that is to run *between* calls,
    /// such as an executor's other tasks, is better served by that.
    ///
    /// ```
    /// use kinglet::task::classify;
    /// use kinglet::{RunError, Session};
    ///
    /// fn label(mut session: Session, ids: &[u32], scores: &mut [f32]) -> Result<usize, RunError> {
    ///     classify(&mut session, ids, &[], scores)
    /// }
    ///
    /// fn label_watched<'s>(mut session: Session<'s, '_>, feed: &'s mut (dyn FnMut() + Send), ids: &[u32]) -> Result<usize, RunError> {
    ///     session.set_pause(feed);
    ///     label(session, ids, &mut [0.0; 8])
    /// }
    /// # let _ = label_watched;
    /// ```
    pub fn set_pause(&mut self, pause: &'s mut (dyn FnMut() + Send)) {
        self.pause = Some(pause);
    }

    /// Sets how long a step is that [`advance`](Self::advance) and
    /// [`advance_logits`](Self::advance_logits) take, and how often a [pause](Self::set_pause)
    /// comes: about as long as this number of multiply-accumulates. It is 65,536 in a new session.
    ///
    /// A step ends between two parts of a layer: products with a matrix, tokens' attention, norms.
    /// The product of a matrix and more tokens than fit is cut, down to four tokens; with one
    /// token a large matrix is cut. Passes that were begun end.
    ///
    /// ```
    /// use kinglet::Session;
    ///
    /// /// For a loop on a small core that has to come round every millisecond.
    /// fn hurry(session: &mut Session) {
    ///     session.set_step(8 << 10);
    /// }
    /// # let _ = hurry;
    /// ```
    pub fn set_step(&mut self, multiply_accumulates: usize) {
        self.step = multiply_accumulates.max(1);
        self.passes = self.passes.wrapping_add(1);
        self.head = None;
    }

    /// Whether something is called between two steps.
    pub(crate) fn pauses(&self) -> bool {
        self.pause.is_some()
    }

    pub(crate) fn pause(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause();
        }
    }
}
