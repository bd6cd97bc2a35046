//! Texts made of parts that mean something, the same ones in each run.

/// So many texts of less than `most` parts each.
pub(super) fn texts(
    parts: &[&'static str],
    most: usize,
    count: usize,
) -> impl Iterator<Item = String> {
    // A generator without a crate: the 32-bit xorshift of Marsaglia (2003).
    let mut state = 2_463_534_242_u32;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut text = move || {
        let length = random(most);
        (0..length).map(|_| parts[random(parts.len())]).collect()
    };
    (0..count).map(move |_| text())
}
