//! Numbers as text, past the formatter, for what is written once an event.

/// A number in decimal.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 20],
    first: usize,
}

impl Decimal {
    /// The digits of `number`.
    #[must_use]
    pub fn of(mut number: u64) -> Decimal {
        let (mut digits, mut first) = ([0; 20], 20);
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Decimal { digits, first };
            }
        }
    }

    /// As ASCII, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.first..]
    }
}

/// Appends a number in decimal.
pub fn decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(Decimal::of(number).as_bytes());
}

/// Appends a number in hexadecimal, lower case.
pub fn hexadecimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_formatter_does() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 99_999, 1 << 32, u64::MAX - 1, u64::MAX] {
            let (mut dec, mut hex) = (Vec::new(), Vec::new());
            decimal(number, &mut dec);
            hexadecimal(number, &mut hex);
            assert_eq!((dec, hex), (format!("{number}").into_bytes(), format!("{number:x}").into_bytes()));
        }
    }
}
