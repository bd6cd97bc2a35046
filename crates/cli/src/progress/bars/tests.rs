//! What a terminal shows while files come.

use indicatif::InMemoryTerm;

use super::*;

/// Bars on a terminal of 100 columns.
fn bars() -> (Bars, InMemoryTerm) {
    let term = InMemoryTerm::new(12, 100);
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
    (Bars::on(target), term)
}

fn path(name: &str) -> FilePath {
    name.parse().unwrap()
}

/// Draws what the limit on drawings held back.
fn screen(bars: &Bars, term: &InMemoryTerm) -> String {
    std::thread::sleep(Duration::from_millis(10));
    bars.change(|state| {
        for bar in state.running.values().filter_map(|file| file.bar.as_ref()) {
            bar.tick();
        }
    });
    bars.total.tick();
    term.contents()
}

#[test]
fn a_large_file_has_a_bar_and_small_ones_are_counted() {
    let (bars, term) = bars();
    bars.start(1_001, 100_000_000 + 1_000);
    for n in 0..500 {
        let small = path(&format!("{n}.json"));
        bars.file_started(&small, 1);
        bars.file_advanced(&small, 1);
        bars.file_finished(&small);
    }
    let weights = path("model.safetensors");
    bars.file_started(&weights, 100_000_000);
    bars.file_advanced(&weights, 50_000_000);
    let text = screen(&bars, &term);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains(" 50 % of 100.00 MB, ") && lines[0].ends_with("model.safetensors"),
        "{text}"
    );
    assert!(lines[1].ends_with("500 of 1,001 files"), "{text}");
    bars.file_finished(&weights);
    let text = screen(&bars, &term);
    assert_eq!(text.lines().count(), 1, "{text}");
    drop(bars);
    assert_eq!(term.contents(), "");
}

#[test]
fn a_file_that_goes_on_begins_where_it_was() {
    let (bars, term) = bars();
    bars.start(1, 100_000_000);
    let weights = path("model.safetensors");
    for _attempt in 0..2 {
        bars.file_started(&weights, 100_000_000);
        bars.file_resumed(&weights, 40_000_000);
        bars.file_advanced(&weights, 10_000_000);
    }
    let text = screen(&bars, &term);
    assert!(text.contains(" 50 % of 100.00 MB, "), "{text}");
    assert!(text.contains("50.00 MB of 100.00 MB"), "{text}");
}

/// What a bar says of its speed, and of the seconds that are left.
fn told(line: &str) -> (&str, u64) {
    let (before, _) = line.split_once(" left ").unwrap();
    let mut words = before.rsplit(", ");
    let (left, rate) = (words.next().unwrap(), words.next().unwrap());
    let seconds = left.split(' ').map(|part| {
        let (number, unit) = part.split_at(part.len() - 1);
        let unit = ["s", "m", "h"].iter().position(|known| *known == unit);
        number.parse::<u64>().unwrap() * 60_u64.pow(unit.unwrap() as u32)
    });
    (rate, seconds.sum())
}

#[test]
fn each_bar_says_how_fast_it_is_and_how_long_it_will_take() {
    let (bars, term) = bars();
    bars.start(2, 100_000_000_000);
    assert_eq!(told(&screen(&bars, &term)), ("0 B/s", 0));
    let weights = path("model.safetensors");
    bars.file_started(&weights, 1_000_000_000);
    for _ in 0..20 {
        bars.file_advanced(&weights, 2_000_000);
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = screen(&bars, &term);
    let told: Vec<_> = text.lines().map(told).collect();
    assert!(
        told.len() == 2 && told.iter().all(|(rate, _)| rate.ends_with("MB/s")),
        "{text}"
    );
    // No more than 200 MB come in a second: 1 GB takes some, 100 GB take many more.
    let (file, total) = (told[0].1, told[1].1);
    assert!(file >= 4 && total > 20 * file, "{text}");
}

#[test]
fn what_is_done_is_said_while_no_bytes_come() {
    let (bars, term) = bars();
    bars.step("proving", LONG - 1);
    assert_eq!(term.contents(), "");
    bars.step("proving", 14_500_000_000);
    assert!(screen(&bars, &term).ends_with(" proving 14.5 GB"));
    // The next download has its bar again.
    bars.start(1, 10);
    assert!(screen(&bars, &term).ends_with("0 of 1 file"));
}

#[test]
fn nothing_is_drawn_while_somebody_else_has_the_floor() {
    let (bars, term) = bars();
    bars.start(2, 100);
    bars.file_started(&path("config.json"), 100);
    bars.file_advanced(&path("config.json"), 10);
    assert_ne!(screen(&bars, &term), "");
    bars.pause();
    assert_eq!(term.contents(), "");
    // What is in the store already is read again, with a spinner that would turn on its own.
    bars.step("reading again", LONG);
    assert_ne!(screen(&bars, &term), "");
    bars.pause();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(term.contents(), "");
    bars.start(1, 10);
    assert!(screen(&bars, &term).ends_with("0 of 1 file"));
}

#[test]
fn of_a_long_name_the_end_is_shown() {
    let long = format!(
        "{}/model-00001-of-00007.safetensors",
        "directory".repeat(20)
    );
    assert_eq!(name(&path(&long)), "…01-of-00007.safetensors");
    assert_eq!(name(&path(&long)).chars().count(), NAME);
    let fits = "f".repeat(NAME);
    assert_eq!(name(&path(&fits)), fits);
}
