//! How much stack a program needs, read from its instructions.

use std::collections::BTreeMap;

const FRAME_POINTER: u8 = 10;
/// What the verifier rounds a function's stack up to when it is compiled.
const GRAIN: usize = 16;

/// An instruction (RFC 9669 section 3).
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

impl From<u64> for Instruction {
    fn from(word: u64) -> Self {
        let [code, registers, o0, o1, i0, i1, i2, i3] = word.to_le_bytes();
        Self {
            code,
            destination: registers & 0x0f,
            source: registers >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            immediate: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }
}

impl Instruction {
    /// The function that it calls, as an index of an instruction. The kernel puts the distance into the offset when it
    /// shows a compiled program.
    fn called(self, at: usize) -> Option<usize> {
        let is_call = self.code == 0x85 && self.source == 1;
        is_call.then(|| at.checked_add_signed(isize::from(self.offset) + 1))?
    }

    /// How far below the frame pointer it reaches.
    fn depth(self, previous: Option<Self>) -> usize {
        let class = self.code & 0x07;
        let (is_load, is_store) = (class == 0x01, class == 0x02 || class == 0x03);
        let reaches =
            (is_load && self.source == FRAME_POINTER) || (is_store && self.destination == FRAME_POINTER);
        // r2 = r10; r2 += -40
        let copied = previous.is_some_and(|previous| {
            previous.code == 0xbf
                && previous.source == FRAME_POINTER
                && previous.destination == self.destination
        });
        let below = if reaches {
            -i32::from(self.offset)
        } else if copied && self.code == 0x07 {
            -self.immediate
        } else {
            0
        };
        usize::try_from(below).unwrap_or(0)
    }
}

/// Bytes of stack on the deepest chain of calls.
pub(crate) fn depth(program: &[u64]) -> usize {
    let all: Vec<Instruction> = program.iter().map(|word| Instruction::from(*word)).collect();
    let mut functions = BTreeMap::from([(0, Function::default())]);
    for (at, instruction) in all.iter().enumerate() {
        if let Some(called) = instruction.called(at) {
            functions.insert(called, Function::default());
        }
    }
    for (at, instruction) in all.iter().enumerate() {
        let previous = at.checked_sub(1).map(|at| all[at]);
        let Some((_, function)) = functions.range_mut(..=at).next_back() else {
            continue;
        };
        function.depth = function.depth.max(instruction.depth(previous));
        function.calls.extend(instruction.called(at));
    }
    deepest(&functions, 0)
}

#[derive(Default)]
struct Function {
    depth: usize,
    calls: Vec<usize>,
}

/// Ends: the verifier allows no recursion.
fn deepest(functions: &BTreeMap<usize, Function>, start: usize) -> usize {
    let Some(Function { depth, calls }) = functions.get(&start) else {
        return 0;
    };
    let own = (*depth).max(1).next_multiple_of(GRAIN);
    let below = calls.iter().map(|called| deepest(functions, *called)).max();
    own + below.unwrap_or(0)
}
