//! How long something is left to those whose duty it is.

use attune_primitives::BlockNumber;

/// Watches one thing that is due, over blocks.
#[derive(Clone, Copy, Debug)]
pub struct Patience<T> {
    grace: BlockNumber,
    watched: Option<(T, BlockNumber)>,
}

impl<T: Copy + PartialEq> Patience<T> {
    /// Patience for `grace` blocks after the one in which a thing is first seen due.
    pub fn new(grace: BlockNumber) -> Self {
        Patience { grace, watched: None }
    }

    /// Takes in what is `due` at block `now`; gives it back if it has been due for longer than the grace. The grace then
    /// begins anew, as what is done about it shows only some blocks later.
    pub fn over(&mut self, due: Option<T>, now: BlockNumber) -> Option<T> {
        let since = match self.watched {
            Some((watched, since)) if Some(watched) == due => since,
            _ => now,
        };
        let is_over = now > since.saturating_add(self.grace);
        self.watched = due.map(|due| (due, if is_over { now } else { since }));
        due.filter(|_| is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_left_to_others_for_the_grace_and_then_done_once_in_each() {
        let mut patience = Patience::new(4);
        let done: Vec<u32> = (10..30).filter(|now| patience.over(Some('a'), *now) == Some('a')).collect();
        assert_eq!(done, [15, 20, 25]);
    }

    #[test]
    fn another_thing_and_one_that_was_done_meanwhile_have_their_own_grace() {
        let mut patience = Patience::new(4);
        assert_eq!(patience.over(Some('a'), 10), None);
        assert_eq!(patience.over(Some('b'), 15), None);
        assert_eq!(patience.over(None, 16), None);
        assert_eq!(patience.over(Some('b'), 20), None);
        assert_eq!(patience.over(Some('b'), 24), None);
        assert_eq!(patience.over(Some('b'), 25), Some('b'));
    }
}
