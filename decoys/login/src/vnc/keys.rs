//! Which of many keys turns one block into another under DES (FIPS PUB 46-3).
//!
//! Bit-sliced: bit `n` of every word belongs to key `n`, so one pass of logical operations tries
//! 512 keys; a library that encrypts under one key after another takes ten times as long. Every
//! index comes from a table of the standard, none from input.

/// Words that are worked on side by side, which compilers turn into vector operations.
const LANES: usize = 8;
/// Keys of one [`Slice`].
const KEYS: usize = LANES * 64;

/// One bit of many keys.
type Bits = [u64; LANES];

/// The bits of up to [`KEYS`] keys, as they're numbered in the standard.
struct Slice(Box<[Bits; 64]>);

/// Keys to be tried.
pub(super) struct Keys(Vec<Slice>);

impl Keys {
    /// From keys with their most significant bit first; parity isn't looked at.
    pub(super) fn new(keys: &[[u8; 8]]) -> Self {
        let slices = keys.chunks(KEYS).map(|keys| {
            let mut slice = Box::new([[0; LANES]; 64]);
            for (bit, words) in slice.iter_mut().enumerate() {
                for (word, keys) in words.iter_mut().zip(keys.chunks(64)) {
                    for (place, key) in keys.iter().enumerate() {
                        *word |= (u64::from_be_bytes(*key) >> (63 - bit) & 1) << place;
                    }
                }
            }
            Slice(slice)
        });
        Self(slices.collect())
    }

    /// The number of the first key under which `plain` becomes `cipher`, in every pair of blocks.
    pub(super) fn find(&self, pairs: &[([u8; 8], [u8; 8])]) -> Option<usize> {
        self.0.iter().enumerate().find_map(|(n, slice)| {
            let mut fitting = [u64::MAX; LANES];
            for (plain, cipher) in pairs {
                let these = slice.fitting(*plain, *cipher);
                for (fits, these) in fitting.iter_mut().zip(these) {
                    *fits &= these;
                }
                if fitting == [0; LANES] {
                    return None;
                }
            }
            let lane = fitting.iter().position(|fits| *fits != 0)?;
            let place = usize::try_from(fitting.get(lane)?.trailing_zeros()).ok()?;
            Some(n * KEYS + lane * 64 + place)
        })
    }
}

impl Slice {
    /// A set bit for each key under which `plain` becomes `cipher`.
    fn fitting(&self, plain: [u8; 8], cipher: [u8; 8]) -> Bits {
        let (mut left, mut right) = initial(plain);
        // The last permutation is the first one's inverse, and the last exchange isn't made.
        let (last_right, last_left) = initial(cipher);
        for [odd, even] in SCHEDULE.as_chunks::<2>().0 {
            self.round(odd, &mut left, &right);
            self.round(even, &mut right, &left);
        }
        let mut fitting = [u64::MAX; LANES];
        let halves = left.iter().zip(&last_left);
        for (ours, wanted) in halves.chain(right.iter().zip(&last_right)) {
            for ((fits, ours), wanted) in fitting.iter_mut().zip(ours).zip(wanted) {
                *fits &= !(ours ^ wanted);
            }
        }
        fitting
    }

    /// One round: `to` takes up what the cipher function makes of `from`.
    fn round(&self, subkey: &[usize; 48], to: &mut [Bits; 32], from: &[Bits; 32]) {
        self.substitute::<0>(subkey, to, from);
        self.substitute::<1>(subkey, to, from);
        self.substitute::<2>(subkey, to, from);
        self.substitute::<3>(subkey, to, from);
        self.substitute::<4>(subkey, to, from);
        self.substitute::<5>(subkey, to, from);
        self.substitute::<6>(subkey, to, from);
        self.substitute::<7>(subkey, to, from);
    }

    /// The part of a round that goes through S-box `BOX`. Its own function, so that the compiler
    /// sees one short loop to make vectors of.
    #[inline(never)]
    fn substitute<const BOX: usize>(
        &self,
        subkey: &[usize; 48],
        to: &mut [Bits; 32],
        from: &[Bits; 32],
    ) {
        let [a, b, c, d, e, f]: [(&Bits, &Bits); 6] = std::array::from_fn(|n| {
            let text = &from[const { EXPANSION }[6 * BOX + n] - 1];
            (text, &self.0[subkey[6 * BOX + n] % 64])
        });
        let mut made = [[0; LANES]; 4];
        let [w, x, y, z] = &mut made;
        for n in 0..LANES {
            let input = [a, b, c, d, e, f].map(|(text, key)| text[n] ^ key[n]);
            w[n] = polynomial(const { POLYNOMIALS[BOX][0] }, &input);
            x[n] = polynomial(const { POLYNOMIALS[BOX][1] }, &input);
            y[n] = polynomial(const { POLYNOMIALS[BOX][2] }, &input);
            z[n] = polynomial(const { POLYNOMIALS[BOX][3] }, &input);
        }
        for (n, made) in made.iter().enumerate() {
            let place = &mut to[PERMUTED[4 * BOX + n]];
            for (bits, made) in place.iter_mut().zip(made) {
                *bits ^= made;
            }
        }
    }
}

/// A block's two halves after the initial permutation, the same for every key.
fn initial(block: [u8; 8]) -> ([Bits; 32], [Bits; 32]) {
    let block = u64::from_be_bytes(block);
    // The permutation reads each half by columns, from the last byte up.
    let half = |first: usize| {
        std::array::from_fn(|n| {
            let bit = first + 2 * (n / 8) - 8 * (n % 8);
            [u64::MAX * (block >> (64 - bit) & 1); LANES]
        })
    };
    (half(58), half(57))
}

/// The value of a polynomial of six variables over one bit. With constant coefficients the compiler
/// leaves only the operations that are needed.
#[inline(always)]
fn polynomial(coefficients: u64, x: &[u64; 6]) -> u64 {
    let half = |c: u64| {
        let quarter = |c: u64| {
            let eighth = |c: u64| {
                let sixteenth = |c: u64| {
                    let [.., a, b] = x;
                    let terms = [u64::MAX, *b, *a, *a & *b];
                    let mut sum = 0;
                    let mut n = 0;
                    while n < 4 {
                        if c >> n & 1 == 1 {
                            sum ^= terms[n];
                        }
                        n += 1;
                    }
                    sum
                };
                sixteenth(c) ^ (x[3] & sixteenth(c >> 4))
            };
            eighth(c) ^ (x[2] & eighth(c >> 8))
        };
        quarter(c) ^ (x[1] & quarter(c >> 16))
    };
    half(coefficients) ^ (x[0] & half(coefficients >> 32))
}

/// Bits of the key that make the subkey of each round, counted from 0.
const SCHEDULE: [[usize; 48]; 16] = {
    let mut schedule = [[0; 48]; 16];
    let mut round = 0;
    while round < 16 {
        let mut n = 0;
        while n < 48 {
            let from = CHOICE_2[n] - 1;
            let half = from / 28 * 28;
            schedule[round][n] = CHOICE_1[half + (from - half + SHIFTS[round]) % 28] - 1;
            n += 1;
        }
        round += 1;
    }
    schedule
};

/// Where each bit behind the S-boxes goes, counted from 0.
const PERMUTED: [usize; 32] = {
    let mut to = [0; 32];
    let mut n = 0;
    while n < 32 {
        to[PERMUTATION[n] - 1] = n;
        n += 1;
    }
    to
};

/// Each output bit of each S-box as a polynomial over its six input bits (Reed and Muller): bit `n`
/// is the coefficient of the product of the variables in `n`, of which the first counts 32.
const POLYNOMIALS: [[u64; 4]; 8] = {
    let mut all = [[0; 4]; 8];
    let mut n = 0;
    while n < 8 {
        let mut bit = 0;
        while bit < 4 {
            let mut table = 0;
            let mut input = 0;
            while input < 64 {
                let row = input >> 4 & 2 | input & 1;
                let column = input >> 1 & 15;
                let output = S_BOXES[n][row * 16 + column];
                table |= (output >> (3 - bit) & 1) << input;
                input += 1;
            }
            table ^= (table & 0x5555_5555_5555_5555) << 1;
            table ^= (table & 0x3333_3333_3333_3333) << 2;
            table ^= (table & 0x0f0f_0f0f_0f0f_0f0f) << 4;
            table ^= (table & 0x00ff_00ff_00ff_00ff) << 8;
            table ^= (table & 0x0000_ffff_0000_ffff) << 16;
            table ^= (table & 0x0000_0000_ffff_ffff) << 32;
            all[n][bit] = table;
            bit += 1;
        }
        n += 1;
    }
    all
};

/// E.
const EXPANSION: [usize; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18,
    19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];

/// P.
const PERMUTATION: [usize; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19,
    13, 30, 6, 22, 11, 4, 25,
];

/// PC-1.
const CHOICE_1: [usize; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60,
    52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29,
    21, 13, 5, 28, 20, 12, 4,
];

/// PC-2.
const CHOICE_2: [usize; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// How far the key has been turned at each round.
const SHIFTS: [usize; 16] = [1, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 28];

/// S1 to S8, row by row.
const S_BOXES: [[u64; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12,
        11, 9, 5, 3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9,
        1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1,
        10, 6, 9, 11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15,
        4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5,
        14, 12, 11, 15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6,
        9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2,
        12, 1, 10, 14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1,
        13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15,
        10, 3, 9, 8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14,
        2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13,
        14, 0, 11, 3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5,
        15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5,
        12, 2, 15, 8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4,
        10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6,
        11, 0, 14, 9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10,
        8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Known pairs: the first from FIPS PUB 81's worked example, the others from OpenSSL 3.0.
    #[test]
    fn known_answers_are_found() {
        let known = [
            (
                0x0123_4567_89ab_cdef_u64,
                0x4e6f_7720_6973_2074,
                0x3fa4_0e8a_984d_4815_u64,
            ),
            (
                0x0e32_92ea_6d0d_f10f,
                0x8787_8787_8787_8787,
                0x0b5b_5e90_4d52_1ba5,
            ),
            (
                0xe84a_d660_c472_1ae0,
                0x7365_6372_6574_3132,
                0x24b5_ae4c_e155_03c6,
            ),
        ];
        let mut keys: Vec<[u8; 8]> = (0..1300_u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
            .collect();
        for (place, (key, ..)) in [0, 700, 1299].into_iter().zip(known) {
            keys[place] = u64::to_be_bytes(key);
        }
        let keys = Keys::new(&keys);
        for (place, (_, plain, cipher)) in [0, 700, 1299].into_iter().zip(known) {
            let pair = (u64::to_be_bytes(plain), u64::to_be_bytes(cipher));
            assert_eq!(keys.find(&[pair]), Some(place));
            assert_eq!(keys.find(&[pair, pair]), Some(place));
            let other = (pair.0, u64::to_be_bytes(cipher ^ 1));
            assert_eq!(keys.find(&[other]), None);
            assert_eq!(keys.find(&[pair, other]), None, "one block isn't both");
        }
        assert_eq!(Keys::new(&[]).find(&[([0; 8], [0; 8])]), None);
    }
}
