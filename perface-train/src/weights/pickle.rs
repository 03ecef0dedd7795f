//! The part of Python's pickle format that `torch.save` writes, read without running anything.
//!
//! A pickle is a program for a small stack machine. Of its operations, those that build numbers, texts, tuples,
//! lists and dictionaries are carried out here. Calls are not: a call of one of PyTorch's three tensor builders is
//! noted as a description of the tensor, any other call becomes [`Value::Opaque`]. Values live in an arena, so that
//! neither cycles nor deep nesting can hurt.

/// More values than any checkpoint of a face network has.
const MAX_VALUES: usize = 4 << 20;

/// Longest text that is taken in, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// What the machine puts on its stack.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Python's `None`, or a value nothing here needs: floats, results of calls that are not carried out.
    Opaque,
    /// A whole number or a truth value.
    Int(i64),
    /// A text: index into [`Program::texts`].
    Text(usize),
    /// A tuple or list: index into [`Program::lists`].
    List(usize),
    /// A dictionary: index into [`Program::dicts`].
    Dict(usize),
    /// A class or function: index into [`Program::texts`], as `module name`.
    Global(usize),
    /// A storage: index into [`Program::storages`].
    Storage(usize),
    /// A tensor: index into [`Program::tensors`].
    Tensor(usize),
}

/// One block of numbers of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageRef {
    /// Name of its member: `<stem>/data/<key>`.
    pub key: String,
    /// Class of the storage, such as `FloatStorage`.
    pub class: String,
    /// Number of elements.
    pub len: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef {
    /// Index into [`Program::storages`].
    pub storage: usize,
    /// First element.
    pub offset: usize,
    /// Length along each axis.
    pub shape: Vec<usize>,
    /// Elements between neighbours along each axis.
    pub stride: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug, Default)]
pub struct Program {
    /// Texts.
    pub texts: Vec<String>,
    /// Elements of tuples and lists.
    pub lists: Vec<Vec<Value>>,
    /// Entries of dictionaries, in their order.
    pub dicts: Vec<Vec<(Value, Value)>>,
    /// Storages.
    pub storages: Vec<StorageRef>,
    /// Tensors.
    pub tensors: Vec<TensorRef>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
    built: usize,
}

impl Program {
    /// Read a whole pickle; the result is its last value.
    ///
    /// # Errors
    /// Why it cannot be read: cut, an operation that `torch.save` does not write, or too large.
    pub fn read(bytes: &[u8]) -> Result<(Self, Value), String> {
        let mut program = Self::default();
        let mut input = Input { bytes, at: 0 };
        let value = program.run(&mut input)?;
        Ok((program, value))
    }

    /// The text behind `value`, if it is one.
    pub fn text(&self, value: &Value) -> Option<&str> {
        match value {
            Value::Text(index) => self.texts.get(*index).map(String::as_str),
            _ => None,
        }
    }

    fn run(&mut self, input: &mut Input<'_>) -> Result<Value, String> {
        loop {
            let at = input.at;
            let operation = input.byte()?;
            self.built += 1;
            if self.built > MAX_VALUES {
                return Err(format!("more than {MAX_VALUES} operations"));
            }
            match operation {
                0x80 => {
                    input.take(1)?;
                }
                0x95 => {
                    input.take(8)?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'.' => return self.pop(),
                b'0' => {
                    self.pop()?;
                }
                b'2' => {
                    let top = self.top()?.clone();
                    self.stack.push(top);
                }
                b'N' => self.stack.push(Value::Opaque),
                0x88 => self.stack.push(Value::Int(1)),
                0x89 => self.stack.push(Value::Int(0)),
                b'G' => {
                    input.take(8)?;
                    self.stack.push(Value::Opaque);
                }
                b'J' => {
                    let value = i64::from(i32::from_le_bytes(input.array()?));
                    self.stack.push(Value::Int(value));
                }
                b'K' => {
                    let value = i64::from(input.byte()?);
                    self.stack.push(Value::Int(value));
                }
                b'M' => {
                    let value = i64::from(u16::from_le_bytes(input.array()?));
                    self.stack.push(Value::Int(value));
                }
                0x8a => self.long(input)?,
                b'X' => {
                    let len = u32::from_le_bytes(input.array()?) as usize;
                    self.push_text(input, len)?;
                }
                0x8c => {
                    let len = usize::from(input.byte()?);
                    self.push_text(input, len)?;
                }
                b'B' => {
                    let len = u32::from_le_bytes(input.array()?) as usize;
                    input.take(len)?;
                    self.stack.push(Value::Opaque);
                }
                b'C' => {
                    let len = usize::from(input.byte()?);
                    input.take(len)?;
                    self.stack.push(Value::Opaque);
                }
                b'c' => {
                    let (module, name) = (input.line()?, input.line()?);
                    let index = self.keep_text(format!("{module} {name}"))?;
                    self.stack.push(Value::Global(index));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let both =
                        self.text(&module).zip(self.text(&name)).map(|(module, name)| format!("{module} {name}"));
                    let index = self.keep_text(both.ok_or("a class without a name")?)?;
                    self.stack.push(Value::Global(index));
                }
                b'q' => {
                    let index = usize::from(input.byte()?);
                    self.remember(index)?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(input.array()?) as usize;
                    self.remember(index)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let index = usize::from(input.byte()?);
                    self.recall(index)?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(input.array()?) as usize;
                    self.recall(index)?;
                }
                b')' | b']' => self.push_list(Vec::new()),
                b't' => {
                    let items = self.since_mark()?;
                    self.push_list(items);
                }
                0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(operation - 0x84)).ok_or("an empty stack")?;
                    let items = self.stack.split_off(from);
                    self.push_list(items);
                }
                b'}' => {
                    self.dicts.push(Vec::new());
                    self.stack.push(Value::Dict(self.dicts.len() - 1));
                }
                0x8f => self.stack.push(Value::Opaque),
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.since_mark()?;
                    self.extend(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.insert(items)?;
                }
                b'Q' => self.persistent()?,
                b'R' => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    let value = self.call(&callee, &arguments)?;
                    self.stack.push(value);
                }
                0x81 => {
                    self.pop()?;
                    self.pop()?;
                    self.stack.push(Value::Opaque);
                }
                // The state of an object: nothing that is read here has any but attributes beside its entries.
                b'b' => {
                    self.pop()?;
                }
                other => return Err(format!("operation {other:#04x} at byte {at} is none that torch.save writes")),
            }
        }
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "an empty stack".to_owned())
    }

    fn top(&self) -> Result<&Value, String> {
        self.stack.last().ok_or_else(|| "an empty stack".to_owned())
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn keep_text(&mut self, text: String) -> Result<usize, String> {
        self.texts.push(text);
        Ok(self.texts.len() - 1)
    }

    fn push_text(&mut self, input: &mut Input<'_>, len: usize) -> Result<(), String> {
        if len > MAX_TEXT_BYTES {
            return Err(format!("a text of {len} bytes"));
        }
        let text = std::str::from_utf8(input.take(len)?).map_err(|_| "a text that is not UTF-8")?;
        let index = self.keep_text(text.to_owned())?;
        self.stack.push(Value::Text(index));
        Ok(())
    }

    fn push_list(&mut self, items: Vec<Value>) {
        self.lists.push(items);
        self.stack.push(Value::List(self.lists.len() - 1));
    }

    /// A number of up to 255 bytes; those over 8 are opaque.
    fn long(&mut self, input: &mut Input<'_>) -> Result<(), String> {
        let len = usize::from(input.byte()?);
        let bytes = input.take(len)?;
        if len > 8 {
            self.stack.push(Value::Opaque);
            return Ok(());
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.stack.push(Value::Int(i64::from_le_bytes(all)));
        Ok(())
    }

    fn remember(&mut self, index: usize) -> Result<(), String> {
        if index > MAX_VALUES {
            return Err(format!("memo {index}"));
        }
        let value = self.top()?.clone();
        if self.memo.len() <= index {
            self.memo.resize(index + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(index) {
            *slot = Some(value);
        }
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), String> {
        let value = self.memo.get(index).cloned().flatten().ok_or_else(|| format!("memo {index} was never set"))?;
        self.stack.push(value);
        Ok(())
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top()? {
            Value::List(index) => {
                let index = *index;
                self.lists.get_mut(index).ok_or("a lost list")?.extend(items);
                Ok(())
            }
            Value::Opaque => Ok(()),
            _ => Err("items for something that is no list".to_owned()),
        }
    }

    fn insert(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.top()? {
            Value::Dict(index) => {
                let index = *index;
                let dict = self.dicts.get_mut(index).ok_or("a lost dictionary")?;
                let mut items = items.into_iter();
                while let Some(key) = items.next() {
                    dict.push((key, items.next().ok_or("a key without a value")?));
                }
                Ok(())
            }
            Value::Opaque => Ok(()),
            _ => Err("entries for something that is no dictionary".to_owned()),
        }
    }

    /// `("storage", class, key, location, length)`.
    fn persistent(&mut self) -> Result<(), String> {
        let value = self.pop()?;
        let items = match value {
            Value::List(index) => self.lists.get(index).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let [kind, class, key, _, len, ..] = items.as_slice() else { return Err("an unknown reference".to_owned()) };
        let class = match class {
            Value::Global(index) => self.texts.get(*index).and_then(|text| text.rsplit([' ', '.']).next()),
            _ => None,
        };
        let (Some("storage"), Some(class), Some(key), Value::Int(len)) = (self.text(kind), class, self.text(key), len)
        else {
            return Err("a reference that is no storage".to_owned());
        };
        let len = usize::try_from(*len).map_err(|_| "a storage of negative length")?;
        self.storages.push(StorageRef { key: key.to_owned(), class: class.to_owned(), len });
        self.stack.push(Value::Storage(self.storages.len() - 1));
        Ok(())
    }

    /// The result of the calls that describe tensors and make dictionaries; opaque for any other.
    fn call(&mut self, callee: &Value, arguments: &Value) -> Result<Value, String> {
        let Value::Global(index) = callee else { return Ok(Value::Opaque) };
        let name = self.texts.get(*index).cloned().unwrap_or_default();
        let arguments = match arguments {
            Value::List(index) => self.lists.get(*index).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(match name.as_str() {
            "torch._utils _rebuild_tensor_v2" | "torch._utils _rebuild_tensor" => {
                let [Value::Storage(storage), Value::Int(offset), shape, stride, ..] = arguments.as_slice() else {
                    return Err("a tensor that is not described as PyTorch does".to_owned());
                };
                let negative = |_| "a tensor of negative extent".to_owned();
                let offset = usize::try_from(*offset).map_err(negative)?;
                let (shape, stride) = (self.lengths(shape)?, self.lengths(stride)?);
                if shape.len() != stride.len() {
                    return Err("a tensor whose shape and strides differ in length".to_owned());
                }
                self.tensors.push(TensorRef { storage: *storage, offset, shape, stride });
                Value::Tensor(self.tensors.len() - 1)
            }
            "torch._utils _rebuild_parameter" => arguments.first().cloned().unwrap_or(Value::Opaque),
            "collections OrderedDict" => {
                self.dicts.push(Vec::new());
                Value::Dict(self.dicts.len() - 1)
            }
            _ => Value::Opaque,
        })
    }

    fn lengths(&self, value: &Value) -> Result<Vec<usize>, String> {
        let Value::List(index) = value else { return Err("a tensor without a shape".to_owned()) };
        let items = self.lists.get(*index).map(Vec::as_slice).unwrap_or_default();
        let length = |item: &Value| match item {
            Value::Int(n) => usize::try_from(*n).map_err(|_| "a tensor of negative extent".to_owned()),
            _ => Err("a tensor whose shape is no list of numbers".to_owned()),
        };
        items.iter().map(length).collect()
    }
}

/// Bytes read from the front.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or("the file is cut")?;
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or(0))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the file is cut".to_owned())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take(MAX_TEXT_BYTES).position(|byte| *byte == b'\n').ok_or("the file is cut")?;
        let line = std::str::from_utf8(self.take(len)?).map_err(|_| "a name that is not UTF-8")?;
        self.take(1)?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_of_anything_else_is_not_carried_out() {
        // os.system("true"), as protocol 0 writes it with a binary text.
        let bytes = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
        let (_, value) = Program::read(bytes).unwrap();
        assert_eq!(value, Value::Opaque);
    }

    #[test]
    fn a_dictionary_refers_to_itself_without_harm() {
        let bytes = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.";
        let (program, value) = Program::read(bytes).unwrap();
        assert_eq!(value, Value::Dict(0));
        assert_eq!(program.dicts[0], [(Value::Text(0), Value::Dict(0))]);
    }

    #[test]
    fn whole_numbers_of_every_width_are_read() {
        let bytes = b"\x80\x02(K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\x02\x00\x80\x8a\x00t.";
        let (program, _) = Program::read(bytes).unwrap();
        let want = [255, 65535, -2, -32768, 0].map(Value::Int);
        assert_eq!(program.lists[0], want);
    }

    #[test]
    fn cut_and_unknown_programs_are_refused() {
        for (bytes, want) in [
            (&b"\x80\x02}q"[..], "cut"),
            (b"\x80\x02i", "0x69"),
            (b".", "empty stack"),
            (b"u", "no mark"),
            (b"h\x05.", "never set"),
            (b"X\xff\xff\xff\xff", "text"),
        ] {
            let message = Program::read(bytes).unwrap_err();
            assert!(message.contains(want), "{message} lacks {want}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Program::read(&bytes);
        }
    }
}
