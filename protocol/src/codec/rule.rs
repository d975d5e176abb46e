//! Which versions of a message carry a field, and how.

/// The versions that carry a field, built up from [`Rule::ALWAYS`] in the words that `message!` takes.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    first: i16,
    last: i16,
    nullable_first: i16,
    tag: Option<u32>,
    droppable: bool,
}

impl Rule {
    /// Carried by every version, nullable in every version if the type has a null.
    pub const ALWAYS: Rule =
        Rule { first: 0, last: i16::MAX, nullable_first: 0, tag: None, droppable: false };

    /// Carried from this version on.
    pub const fn since(mut self, version: i16) -> Self {
        self.first = version;
        self
    }

    /// Carried up to this version, inclusive.
    pub const fn until(mut self, version: i16) -> Self {
        self.last = version;
        self
    }

    /// An `Option` may be null only from this version on.
    pub const fn nullable(mut self, version: i16) -> Self {
        self.nullable_first = version;
        self
    }

    /// Carried as the tagged field with this tag (KIP-482), and left out when it has its default.
    pub const fn tag(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }

    /// A version without the field silently drops its value, as Kafka's schema says "ignorable". Without this word a
    /// value other than the default is an error there.
    pub const fn ignorable(mut self) -> Self {
        self.droppable = true;
        self
    }

    /// Whether this version carries the field.
    pub(crate) const fn carries(&self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// Whether an `Option` may be null in this version.
    pub(crate) const fn allows_null(&self, version: i16) -> bool {
        version >= self.nullable_first
    }

    /// Whether every version carries the field in line.
    pub(crate) const fn is_always_in_line(&self) -> bool {
        self.first == 0 && self.last == i16::MAX && self.tag.is_none()
    }

    /// The tag, if the field is a tagged one.
    pub(crate) const fn tag_number(&self) -> Option<u32> {
        self.tag
    }

    /// Whether a version without the field may drop its value.
    pub(crate) const fn is_ignorable(&self) -> bool {
        self.droppable
    }
}
