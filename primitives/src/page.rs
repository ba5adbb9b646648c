//! Pages of answers. Whatever is asked of the chain from outside looks at a bounded number of entries, so a list comes
//! page by page: an answer says where the next page begins.
//!
//! A page may be shorter than what was asked for, and even empty, and still not be the last: entries that are gone or
//! don't fit are looked at, too, and only [`MAX_LOOKUPS`] of them for one answer. The list ends where `next` is `None`.
//! Pages of different blocks are of different states: ask for all of them at one block.

use alloc::vec::Vec;

use codec::{Decode, Encode};
use scale_info::TypeInfo;

/// Most entries of a page. Whoever asks for more gets this many.
pub const MAX_PAGE: u32 = 50;

/// Most entries that are looked at for one page.
pub const MAX_LOOKUPS: u32 = 500;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct Page<Item, Cursor> {
    /// The entries, in the order of the list.
    pub items: Vec<Item>,
    /// What to ask for to get the entries after these; `None` if there are none.
    pub next: Option<Cursor>,
}

impl<Item, Cursor> Page<Item, Cursor> {
    /// A list without entries.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

/// How many entries a page holds for which `limit` were asked: at least one, so that a reader always gets on, and at
/// most [`MAX_PAGE`].
pub fn page_size(limit: u32) -> usize {
    usize::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(usize::MAX)
}

/// The page of ids below `before`, the newest first, of those for which `find` gives an entry. Looks at no more than
/// [`MAX_LOOKUPS`] ids.
pub fn newest_first<Item>(before: u64, limit: u32, find: impl Fn(u64) -> Option<Item>) -> Page<Item, u64> {
    let mut items = Vec::new();
    let mut id = before;
    for _ in 0..MAX_LOOKUPS {
        let Some(older) = id.checked_sub(1) else { break };
        id = older;
        items.extend(find(id));
        if items.len() >= page_size(limit) {
            break;
        }
    }
    // The ids below this one are not looked at yet.
    Page { items, next: (id > 0).then_some(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages, one after the other.
    fn all(from: u64, limit: u32, find: impl Fn(u64) -> Option<u64> + Copy) -> (Vec<u64>, usize) {
        let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(from));
        while let Some(before) = next {
            let page = newest_first(before, limit, find);
            assert!(page.items.len() <= page_size(limit));
            found.extend(page.items);
            pages += 1;
            next = page.next;
        }
        (found, pages)
    }

    #[test]
    fn pages_together_are_the_whole_list_newest_first() {
        let (found, pages) = all(7, 3, Some);
        assert_eq!((found, pages), (alloc::vec![6, 5, 4, 3, 2, 1, 0], 3));
        assert_eq!(newest_first(0, 3, Some), Page::empty());
    }

    #[test]
    fn a_page_holds_between_one_and_the_most() {
        assert_eq!(newest_first(9, 0, Some).items, [8]);
        assert_eq!(newest_first(1_000, u32::MAX, Some).items.len(), 50);
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_ids_and_says_where_to_go_on() {
        let rare = |id| (id == 3).then_some(id);
        let first = newest_first(1_000, 10, rare);
        assert_eq!((first.items.len(), first.next), (0, Some(500)));
        assert_eq!(all(1_000, 10, rare), (alloc::vec![3], 2));
    }
}
