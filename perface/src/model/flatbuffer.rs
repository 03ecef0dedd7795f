//! Read FlatBuffers without trusting them: every offset is checked, and a wrong one is `None`.

/// A table: its fields are found through its vtable.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    start: usize,
}

/// A vector of anything.
#[derive(Clone, Copy)]
pub struct Vector<'a> {
    bytes: &'a [u8],
    start: usize,
    len: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Follow the unsigned offset stored at `at`.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    let offset = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    at.checked_add(usize::try_from(offset).ok()?).filter(|&target| target < bytes.len())
}

impl<'a> Table<'a> {
    /// The table a whole buffer stands for.
    pub fn root(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, start: follow(bytes, 0)? })
    }

    /// Where field `index` lies; `None` if it has its default.
    fn field(&self, index: usize) -> Option<usize> {
        let to_vtable = i64::from(i32_at(self.bytes, self.start)?);
        let vtable = usize::try_from(i64::try_from(self.start).ok()?.checked_sub(to_vtable)?).ok()?;
        let vtable_len = usize::from(u16_at(self.bytes, vtable)?);
        let entry = 4 + 2 * index;
        if entry + 2 > vtable_len {
            return None;
        }
        match u16_at(self.bytes, vtable.checked_add(entry)?)? {
            0 => None,
            offset => self.start.checked_add(usize::from(offset)),
        }
    }

    /// A byte; 0 if it is not stored.
    pub fn byte(&self, index: usize) -> u8 {
        self.field(index).and_then(|at| self.bytes.get(at).copied()).unwrap_or(0)
    }

    /// A 32-bit integer; `default` if it is not stored.
    pub fn int(&self, index: usize, default: i32) -> i32 {
        self.field(index).and_then(|at| i32_at(self.bytes, at)).unwrap_or(default)
    }

    /// A table.
    pub fn table(&self, index: usize) -> Option<Table<'a>> {
        Some(Table { bytes: self.bytes, start: follow(self.bytes, self.field(index)?)? })
    }

    /// A vector.
    pub fn vector(&self, index: usize) -> Option<Vector<'a>> {
        let start = follow(self.bytes, self.field(index)?)?;
        let len = usize::try_from(i32_at(self.bytes, start)?).ok()?;
        // No element is shorter than a byte, so a longer vector is a lie.
        (len <= self.bytes.len()).then_some(Vector { bytes: self.bytes, start: start + 4, len })
    }
}

impl<'a> Vector<'a> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Element `index`, a table.
    pub fn table(&self, index: usize) -> Option<Table<'a>> {
        if index >= self.len {
            return None;
        }
        let at = self.start.checked_add(index.checked_mul(4)?)?;
        Some(Table { bytes: self.bytes, start: follow(self.bytes, at)? })
    }

    /// All elements as 32-bit integers.
    pub fn ints(&self) -> Option<Vec<i32>> {
        let bytes = self.bytes.get(self.start..self.start.checked_add(self.len.checked_mul(4)?)?)?;
        Some(bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect())
    }

    /// All elements as bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.start..self.start.checked_add(self.len)?)
    }
}
