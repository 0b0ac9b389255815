//! Which rooms a user may read and write.

use std::rc::Rc;

use crate::chat::wire::request::ROOM_BYTES_MAX;

/// The rooms that a user may join. A copy shares the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(Option<Rc<Lists>>);

/// Names of rooms. One that ends with `*` stands for all that begin with what is before it.
#[derive(Debug, PartialEq, Eq)]
struct Lists {
    /// To join and write.
    rooms: Box<[Box<str>]>,
    /// To join and read.
    read: Box<[Box<str>]>,
}

impl Rights {
    /// Every room.
    pub fn all() -> Rights {
        Rights(None)
    }

    /// The rooms of two lists, `rooms` to join and write and `read` to join and read. If neither is given, every room is meant;
    /// an empty list is no room, and so is one that is missing beside the other.
    ///
    /// # Errors
    /// A list of more than [`ROOMS_MAX`] names, or a name that no room can have.
    pub fn parse<S: AsRef<str>>(rooms: Option<&[S]>, read: Option<&[S]>) -> Result<Rights, &'static str> {
        if rooms.is_none() && read.is_none() {
            return Ok(Rights::all());
        }
        Ok(Rights(Some(Rc::new(Lists { rooms: list(rooms)?, read: list(read)? }))))
    }

    /// Whether the user may join a room.
    pub fn may_read(&self, room: &str) -> bool {
        self.0.as_ref().is_none_or(|lists| is_in(&lists.rooms, room) || is_in(&lists.read, room))
    }

    /// Whether the user may change what a room holds, and say something in it.
    pub fn may_write(&self, room: &str) -> bool {
        self.0.as_ref().is_none_or(|lists| is_in(&lists.rooms, room))
    }
}

fn list<S: AsRef<str>>(names: Option<&[S]>) -> Result<Box<[Box<str>]>, &'static str> {
    let names = names.unwrap_or_default();
    if names.len() > ROOMS_MAX {
        return Err("a list of rooms has at most 1000 names");
    }
    let name = |name: &S| {
        let name = name.as_ref();
        let fixed = name.strip_suffix('*').unwrap_or(name);
        let is_good = !name.is_empty() && fixed.len() <= ROOM_BYTES_MAX && !fixed.contains(char::is_control);
        is_good.then(|| name.into()).ok_or("the name of a room has 1 to 128 bytes and no control characters")
    };
    names.iter().map(name).collect()
}

fn is_in(names: &[Box<str>], room: &str) -> bool {
    names.iter().any(|name| name.strip_suffix('*').map_or(**name == *room, |front| room.starts_with(front)))
}

/// Names in one list of rooms.
pub const ROOMS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(rooms: Option<&[&str]>, read: Option<&[&str]>) -> Rights {
        Rights::parse(rooms, read).unwrap()
    }

    #[test]
    fn without_lists_every_room_is_open_and_with_empty_ones_none_is() {
        for all in [Rights::all(), rights(None, None)] {
            assert!(all.may_read("lobby") && all.may_write("lobby"));
        }
        for none in [rights(Some(&[]), None), rights(None, Some(&[])), rights(Some(&[]), Some(&[]))] {
            assert!(!none.may_read("lobby") && !none.may_write("lobby"));
        }
    }

    #[test]
    fn rooms_are_to_write_and_read_is_to_read() {
        let both = rights(Some(&["a", "b"]), Some(&["c"]));
        for (room, may_read, may_write) in
            [("a", true, true), ("b", true, true), ("c", true, false), ("d", false, false), ("", false, false)]
        {
            assert_eq!((both.may_read(room), both.may_write(room)), (may_read, may_write), "{room:?}");
        }
        let read = rights(None, Some(&["c"]));
        assert!(read.may_read("c") && !read.may_write("c") && !read.may_read("a"));
        let rooms = rights(Some(&["a"]), None);
        assert!(rooms.may_write("a") && !rooms.may_read("c"));
    }

    #[test]
    fn a_star_at_the_end_is_any_rest_and_elsewhere_a_star() {
        let some = rights(Some(&["team-*", "x*y", "é*"]), Some(&["*"]));
        for room in ["team-", "team-1", "team-*", "x*y", "é", "éa"] {
            assert!(some.may_write(room), "{room}");
        }
        for room in ["team", "Team-1", "ateam-", "xzy", "x*", "x*yz", "e"] {
            assert!(!some.may_write(room) && some.may_read(room), "{room}");
        }
    }

    #[test]
    fn lists_and_names_have_bounds() {
        let long = "r".repeat(ROOM_BYTES_MAX);
        assert!(rights(Some(&[&long]), None).may_write(&long));
        assert!(rights(Some(&[&format!("{long}*")]), None).may_write(&long));
        let names = vec!["a"; ROOMS_MAX];
        assert!(rights(Some(&names), None).may_write("a"));
        for name in ["", "a\nb", "a\u{85}", &format!("{long}r"), &format!("{long}r*")] {
            let rule = "the name of a room has 1 to 128 bytes and no control characters";
            assert_eq!(Rights::parse(Some(&[name]), None), Err(rule), "{name:?}");
            assert_eq!(Rights::parse(None, Some(&["a", name])), Err(rule), "{name:?}");
        }
        let rule = Err("a list of rooms has at most 1000 names");
        assert_eq!(Rights::parse(None, Some(&["a"; ROOMS_MAX + 1])), rule);
    }
}
