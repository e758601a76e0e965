//! Sets the length of steps, and the function called between them.

use super::Session;

impl<'s> Session<'s, '_> {
    /// Sets a function to call between two steps of any call that reads a text:
    /// [`encode`](Self::encode), [`prefill`](Self::prefill), the tasks, generation and beam search.
    /// Firmware can feed its watchdog there, or poll a serial line.
    ///
    /// A step is that of [`advance`](Self::advance), or some kilobytes of a snapshot. To run other
    /// code *between* calls, such as an executor's tasks, call `advance` directly.
    ///
    /// ```
    /// use kinglet::task::classify;
    /// use kinglet::{RunError, Session};
    ///
    /// fn label(mut session: Session, ids: &[u32], scores: &mut [f32]) -> Result<usize, RunError> {
    ///     classify(&mut session, ids, &[], scores)
    /// }
    ///
    /// fn label_watched<'s>(
    ///     mut session: Session<'s, '_>,
    ///     feed: &'s mut (dyn FnMut() + Send),
    ///     ids: &[u32],
    /// ) -> Result<usize, RunError> {
    ///     session.set_pause(feed);
    ///     label(session, ids, &mut [0.0; 8])
    /// }
    /// # let _ = label_watched;
    /// ```
    pub fn set_pause(&mut self, pause: &'s mut (dyn FnMut() + Send)) {
        self.pause = Some(pause);
    }

    /// Sets the length of a step of [`advance`](Self::advance) and
    /// [`advance_logits`](Self::advance_logits), and so the interval of
    /// [pauses](Self::set_pause), in multiply-accumulates. The default is 65,536.
    ///
    /// A step ends between two parts of a layer: matrix products, the attention of a token, norms.
    /// A matrix product that is longer than a step is split by tokens, at least four at a time; for
    /// a single token, by rows of the matrix. Existing passes become stale.
    ///
    /// ```
    /// use kinglet::Session;
    ///
    /// /// For a main loop on a small core with a period of a millisecond.
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

    /// Whether a function is called between two steps.
    pub(crate) fn pauses(&self) -> bool {
        self.pause.is_some()
    }

    pub(crate) fn pause(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause();
        }
    }
}
