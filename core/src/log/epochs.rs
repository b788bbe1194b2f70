//! Which start of the server gave which numbers. A number is unique within its epoch alone: what the last start before
//! a crash had given and not made durable is given again by the next one.

use crate::ground::id::{Epoch, Seq};

/// The epochs that the log knows, oldest first.
#[derive(Clone, Debug)]
pub struct Epochs {
    /// Each with the last record before it.
    begun: Vec<(Epoch, Seq)>,
    /// No record has named an epoch so far.
    guessed: bool,
}

impl Epochs {
    /// One epoch alone.
    #[must_use]
    pub fn new(epoch: Epoch) -> Epochs {
        Epochs { begun: vec![(epoch, Seq(0))], guessed: true }
    }

    /// A further start begins, after `ended`. The first one that the log tells of takes the place of what
    /// [`Epochs::new`] was told, which was a guess.
    pub fn begin(&mut self, epoch: Epoch, ended: Seq) {
        if std::mem::take(&mut self.guessed) {
            self.begun.clear();
        }
        self.begun.push((epoch, ended));
    }

    /// The epoch of a record that is known.
    #[must_use]
    pub fn of(&self, seq: Seq) -> Epoch {
        let at = self.begun.partition_point(|(_, before)| *before < seq).max(1) - 1;
        self.begun[at].0
    }

    /// The last record of an epoch, if the log knows it; `applied` is the last one of all.
    #[must_use]
    pub fn end_of(&self, epoch: Epoch, applied: Seq) -> Option<Seq> {
        let at = self.begun.iter().position(|(known, _)| *known == epoch)?;
        Some(self.begun.get(at + 1).map_or(applied, |(_, ended)| *ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_belongs_to_the_epoch_that_it_was_given_in() {
        let mut epochs = Epochs::new(Epoch(9));
        assert_eq!((epochs.of(Seq(0)), epochs.of(Seq(5))), (Epoch(9), Epoch(9)));
        assert_eq!(epochs.end_of(Epoch(9), Seq(5)), Some(Seq(5)));
        epochs.begin(Epoch(3), Seq(0));
        epochs.begin(Epoch(7), Seq(10));
        for (seq, epoch) in [(0, 3), (1, 3), (10, 3), (11, 7), (50, 7)] {
            assert_eq!(epochs.of(Seq(seq)), Epoch(epoch), "{seq}");
        }
        assert_eq!(epochs.end_of(Epoch(3), Seq(50)), Some(Seq(10)));
        assert_eq!(epochs.end_of(Epoch(7), Seq(50)), Some(Seq(50)));
        assert_eq!(epochs.end_of(Epoch(9), Seq(50)), None);
    }
}
