//! Reads the pickles of state dictionaries without executing them.
//!
//! A pickle is a program for a stack machine, and may name any Python function to be called. This
//! machine knows the opcodes that PyTorch writes for a dictionary of tensors, and the names in
//! [`Global::of`]. It calls none of them: a tensor is the arguments of its constructor. Every other
//! opcode and name is refused.
//!
//! Objects are in one list and refer to each other by index, so nothing in this file recurses,
//! however deep a pickle nests. Every opcode takes at least one byte of the file and makes at most
//! one object, and no number in the file is the size of an allocation: memory is proportional to
//! the bytes read.

use core::fmt::Display;
use std::collections::HashMap;

use safetensors::Dtype;

/// The most opcodes in a pickle; a dictionary of a hundred thousand tensors has fewer.
const MAX_STEPS: usize = 1 << 22;
/// The most collections open at once; state dictionaries nest four deep.
const MAX_DEPTH: usize = 64;

/// The reason for refusing a file.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The file ends too early, or contradicts itself.
    Broken(String),
    /// The file holds something that a state dictionary does not have.
    Foreign(String),
}

pub(super) type Result<T> = core::result::Result<T, Refusal>;

pub(super) fn broken<T>(what: impl Display) -> Result<T> {
    Err(Refusal::Broken(what.to_string()))
}

pub(super) fn foreign<T>(what: impl Display) -> Result<T> {
    Err(Refusal::Foreign(what.to_string()))
}

/// A Python name that state dictionaries refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`, whose first four arguments agree.
    RebuildTensor,
    RebuildParameter,
    /// The class of a storage, which gives the type of its elements.
    Storage(Dtype),
}

impl Global {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => return None,
        })
    }
}

/// A value on the machine's stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Text(&'a str),
    Global(Global),
    /// An index into [`Pickle::objects`].
    Object(usize),
}

/// An object, which several values may refer to.
#[derive(Debug)]
pub(super) enum Object<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(Tensor),
}

/// A buffer that tensors are views of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    /// The storage's name in the file.
    pub(super) key: &'a str,
    /// The number of elements.
    pub(super) len: usize,
}

/// A view of a storage, in elements.
#[derive(Debug)]
pub(super) struct Tensor {
    /// The index of its storage in [`Pickle::objects`].
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The result of reading a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) objects: Vec<Object<'a>>,
    /// The value on the stack where the program stops.
    pub(super) value: Value<'a>,
    /// The length of the program in bytes.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the beginning of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut machine =
            Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), objects: Vec::new() };
        for _ in 0..MAX_STEPS {
            if let Some(value) = machine.step()? {
                return Ok(Self { objects: machine.objects, value, len: machine.at });
            }
        }
        foreign(format_args!("has more than {MAX_STEPS} opcodes in one pickle"))
    }

    /// The pairs of a dictionary; `None` if the value is not one.
    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.object(value)? {
            Object::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The object that a value refers to.
    pub(super) fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(place) => self.objects.get(place),
            _ => None,
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// The stack's length at the beginning of each open collection.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode; returns the top of the stack at STOP.
    fn step(&mut self) -> Result<Option<Value<'a>>> {
        let at = self.at;
        let [opcode] = self.array()?;
        match opcode {
            // PROTO: the version does not matter, because newer opcodes are refused.
            0x80 => drop(self.array::<1>()?),
            b'.' => return self.pop().map(Some),
            b'(' if self.marks.len() < MAX_DEPTH => self.marks.push(self.stack.len()),
            b'(' => return foreign(format_args!("nests more than {MAX_DEPTH} collections")),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(number.into()));
            }
            b'K' => {
                let [number] = self.array()?;
                self.stack.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.array::<8>()?;
                self.stack.push(Value::Float);
            }
            b'X' | b'T' => {
                let len = u32::from_le_bytes(self.array()?);
                self.text(len as usize)?;
            }
            b'U' => {
                let [len] = self.array()?;
                self.text(len.into())?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Object::Tuple(items));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.above_mark(count)?;
                let items = self.stack.split_off(from);
                self.push(Object::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b'q' => {
                let [slot] = self.array()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            b'h' => {
                let [slot] = self.array()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let Some(global) = Global::of(module, name) else {
                    return foreign(format_args!("asks for `{}.{}`", shown(module), shown(name)));
                };
                self.stack.push(Value::Global(global));
            }
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => return foreign(format_args!("has the opcode {opcode:#04x} at byte {at} of a pickle")),
        }
        Ok(None)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.bytes[self.at..].get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => broken("ends in the middle of a pickle"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn line(&mut self) -> Result<&'a str> {
        let Some(len) = self.bytes[self.at..].iter().position(|byte| *byte == b'\n') else {
            return broken("ends in the middle of a name");
        };
        let line = self.take(len + 1)?;
        self.utf8(&line[..len])
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str> {
        core::str::from_utf8(bytes)
            .or_else(|_| broken(format_args!("has a text that is not UTF-8 before byte {}", self.at)))
    }

    fn text(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        let text = self.utf8(bytes)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    /// LONG1: a number in two's complement of up to sixteen bytes.
    fn long(&mut self) -> Result<()> {
        let [len] = self.array()?;
        if len > 16 {
            return foreign(format_args!("has a number of {len} bytes"));
        }
        let bytes = self.take(len.into())?;
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i128::from_le_bytes(wide)));
        Ok(())
    }

    /// The stack index of the last `count` values, all of which must be in the open collection.
    fn above_mark(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count).filter(|from| *from >= floor) {
            Some(from) => Ok(from),
            None => broken("takes more from a pickle's stack than there is"),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let from = self.above_mark(1)?;
        let top = self.stack[from];
        self.stack.truncate(from);
        Ok(top)
    }

    fn top(&self) -> Result<Value<'a>> {
        Ok(self.stack[self.above_mark(1)?])
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => broken("closes a collection that was not opened"),
        }
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(place) => self.objects.get(place),
            _ => None,
        }
    }

    fn top_object(&mut self) -> Result<Option<&mut Object<'a>>> {
        Ok(match self.top()? {
            Value::Object(place) => self.objects.get_mut(place),
            _ => None,
        })
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<()> {
        match self.top_object()? {
            Some(Object::List(list)) => list.extend(items),
            _ => return broken("appends to something that is not a list"),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value<'a>]) -> Result<()> {
        let (pairs, []) = items.as_chunks::<2>() else { return broken("has a key without a value") };
        match self.top_object()? {
            Some(Object::Dict(dict)) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return broken("sets a key of something that is not a dictionary"),
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let Some(value) = self.memo.get(&slot) else {
            return broken(format_args!("refers to object {slot} of a pickle before it is made"));
        };
        self.stack.push(*value);
        Ok(())
    }

    /// BINPERSID: replaces a persistent id with its storage. The id is `("storage", class, key,
    /// device, elements)`, in older files with a sixth entry, which is `None` unless the storage is
    /// part of another.
    fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = match self.object(id) {
            Some(Object::Tuple(parts)) => match parts[..] {
                [
                    Value::Text("storage"),
                    Value::Global(Global::Storage(dtype)),
                    Value::Text(key),
                    Value::Text(_),
                    len,
                ]
                | [
                    Value::Text("storage"),
                    Value::Global(Global::Storage(dtype)),
                    Value::Text(key),
                    Value::Text(_),
                    len,
                    Value::None,
                ] => Storage { dtype, key, len: size(len)? },
                [_, _, _, _, _, Value::Object(_)] => return foreign("has a storage that is a part of another"),
                _ => return foreign("has a persistent id that does not name a storage"),
            },
            _ => return foreign("has a persistent id that is not a tuple"),
        };
        self.push(Object::Storage(storage));
        Ok(())
    }

    /// REDUCE: replaces a constructor and its arguments with the object that it would make.
    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Some(Object::Tuple(arguments)) = self.object(arguments) else {
            return broken("calls a function without a tuple of arguments");
        };
        let object = match (function, &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            (Value::Global(Global::OrderedDict), [pairs]) => Object::Dict(self.pairs(*pairs)?),
            (Value::Global(Global::RebuildTensor), [Value::Object(storage), offset, shape, strides, ..]) => {
                let Some(Object::Storage(_)) = self.objects.get(*storage) else {
                    return broken("has a tensor without a storage");
                };
                Object::Tensor(Tensor {
                    storage: *storage,
                    offset: size(*offset)?,
                    shape: self.sizes(*shape)?,
                    strides: self.sizes(*strides)?,
                })
            }
            // A parameter is a tensor and a flag that says whether it is trained.
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Object(_), ..]) => {
                self.stack.push(*tensor);
                return Ok(());
            }
            _ => return foreign("calls something other than the constructor of a tensor or dictionary"),
        };
        self.push(object);
        Ok(())
    }

    /// The pairs of a dictionary, in the list form that Python 2 wrote.
    fn pairs(&self, list: Value<'a>) -> Result<Vec<(Value<'a>, Value<'a>)>> {
        let Some(Object::List(list)) = self.object(list) else {
            return broken("makes a dictionary from something that is not a list");
        };
        let pair = |item: &Value<'a>| match self.object(*item) {
            Some(Object::List(pair) | Object::Tuple(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => broken("makes a dictionary from items that are not pairs"),
        };
        list.iter().map(pair).collect()
    }

    fn sizes(&self, value: Value<'a>) -> Result<Vec<usize>> {
        match self.object(value) {
            Some(Object::Tuple(sizes)) if sizes.len() <= 8 => sizes.iter().copied().map(size).collect(),
            _ => broken("has a tensor whose shape is not a tuple of at most eight numbers"),
        }
    }

    /// BUILD: drops the attributes of a dictionary, which are `_metadata`, the versions of modules.
    /// Tensors have none.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top_object()? {
            Some(Object::Dict(_)) => Ok(()),
            _ => foreign("gives attributes to something that is not a dictionary"),
        }
    }
}

fn size(value: Value<'_>) -> Result<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).or_else(|_| broken(format_args!("has {number} for a size"))),
        _ => broken("has a size that is not a whole number"),
    }
}

/// Shortens a name from the file for an error message.
fn shown(name: &str) -> String {
    name.chars().take(60).filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests;
