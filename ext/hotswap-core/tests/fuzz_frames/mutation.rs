//! Mutated streams of frames. The same seed gives the same streams.

/// A generator of mutated streams.
pub(crate) struct Mutation(u64);

/// Values at which lengths and kinds change their meaning.
const BYTES: [u8; 10] = [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xfe, 0xff];

impl Mutation {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One seed, or two in a row, with up to four mutations; sometimes with none.
    pub(crate) fn of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = seeds[self.below(seeds.len())].clone();
        if self.below(4) == 0 {
            stream.extend_from_slice(&seeds[self.below(seeds.len())]);
        }
        for _ in 0..self.below(5) {
            self.spoil(&mut stream);
        }
        stream
    }

    fn spoil(&mut self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return stream.push(self.byte());
        }
        // Headers decide what happens, so every other mutation hits a header.
        let at = if self.below(2) == 0 {
            self.below(stream.len().min(5))
        } else {
            self.below(stream.len())
        };
        let other = self.below(stream.len());
        let (from, to) = (at.min(other), at.max(other));
        match self.below(8) {
            0 => stream[at] ^= 1 << self.below(8),
            1 => stream[at] = BYTES[self.below(BYTES.len())],
            2 => stream[at] = self.byte(),
            3 => stream.truncate(at),
            4 => drop(stream.drain(from..to)),
            5 => {
                let piece = stream[from..to].to_vec();
                stream.splice(at..at, piece.into_iter().take(5000));
            }
            6 => stream.insert(at, self.byte()),
            _ => {
                let length = (self.next() as u32).to_be_bytes();
                stream.splice(from..(from + 4).min(stream.len()), length);
            }
        }
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
