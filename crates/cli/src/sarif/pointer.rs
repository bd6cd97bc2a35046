//! The line at which a JSON pointer (RFC 6901) leads. It goes down along the pointer alone and skips
//! what is beside it, so that no document can make it go deep; what is no JSON has no line.

/// The line of the field or element, counted from 1.
pub(super) fn line(text: &[u8], pointer: &str) -> Option<usize> {
    let mut at = Cursor { text, at: 0 };
    let mut found = at.at;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        found = at.enter(&token)?;
    }
    let before = text.get(..found)?;
    Some(1 + before.iter().filter(|byte| **byte == b'\n').count())
}

struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    /// Goes to the value of this key or index, and says where its key or the value begins.
    fn enter(&mut self, token: &str) -> Option<usize> {
        self.space();
        match self.next()? {
            b'{' => self.member(token),
            b'[' => self.element(token.parse().ok()?),
            _ => None,
        }
    }

    fn member(&mut self, wanted: &str) -> Option<usize> {
        loop {
            self.space();
            let begin = self.at;
            let key = self.string()?;
            self.space();
            (self.next()? == b':').then_some(())?;
            if serde_json::from_slice::<String>(key).is_ok_and(|key| key == wanted) {
                return Some(begin);
            }
            self.value()?;
            self.space();
            (self.next()? == b',').then_some(())?;
        }
    }

    fn element(&mut self, index: usize) -> Option<usize> {
        for _ in 0..index {
            self.value()?;
            self.space();
            (self.next()? == b',').then_some(())?;
        }
        self.space();
        Some(self.at)
    }

    /// Skips one value, whatever is nested in it.
    fn value(&mut self) -> Option<()> {
        self.space();
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' if depth == 0 => return Some(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        let begin = self.at;
        (self.next()? == b'"').then_some(())?;
        loop {
            match self.next()? {
                b'"' => return self.text.get(begin..self.at),
                b'\\' => drop(self.next()?),
                _ => {}
            }
        }
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_elements_have_lines() {
        let text = br#"{
  "a": {"x": "}],\"", "y": [1, [2, 3]]},
  "b/c~": [
    {"d": 1},
    {
      "d": true
    }
  ]
}"#;
        for (pointer, expected) in [
            ("", Some(1)),
            ("/a", Some(2)),
            ("/a/y/1/0", Some(2)),
            ("/b~1c~0", Some(3)),
            ("/b~1c~0/1", Some(5)),
            ("/b~1c~0/1/d", Some(6)),
            ("/b~1c~0/2", None),
            ("/missing", None),
            ("/a/x/deeper", None),
        ] {
            assert_eq!(line(text, pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn what_is_no_json_has_no_line_and_no_depth() {
        for text in [
            "",
            "{",
            "[",
            "{\"a",
            "{\"a\"",
            "{\"b\":",
            "{\"b\": \"\\",
            "null",
        ] {
            assert_eq!(line(text.as_bytes(), "/a"), None, "{text}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(1 << 20));
        assert_eq!(line(deep.as_bytes(), "/b"), None);
    }
}
