//! Markup in which only literals of the program are markup.
//!
//! File names, notes and labels come from anywhere. They enter through [`Markup::text`] and [`Markup::attribute`],
//! which escape them; [`Markup::raw`] takes nothing but literals.

use std::fmt::Write as _;

/// HTML in the making.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// A literal, as it is.
    pub fn raw(&mut self, literal: &'static str) -> &mut Self {
        self.0.push_str(literal);
        self
    }

    /// Text, escaped.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape_into(&mut self.0, text);
        self
    }

    /// ` name="value"`, the value escaped.
    pub fn attribute(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.0.push(' ');
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape_into(&mut self.0, value);
        self.0.push('"');
        self
    }

    /// ` name="value"` for a number; one that is not finite becomes 0.
    pub fn number(&mut self, name: &'static str, value: f64) -> &mut Self {
        let value = if value.is_finite() { value } else { 0.0 };
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {name}=\"{value:.1}\"");
        self
    }

    /// A name from outside, in its own direction of writing, so that it cannot turn the text around it.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.raw("<bdi>").text(name).raw("</bdi>")
    }

    /// `<th>` or `<td>` with `text`, labelled for narrow screens, where a table's head is not shown.
    pub fn cell(&mut self, label: &str, text: &str) -> &mut Self {
        self.raw("<td").attribute("data-label", label).raw(">").name(text).raw("</td>")
    }

    /// A picture made by [`crate::plot`], which escapes what it draws.
    pub fn plot(&mut self, svg: &str) -> &mut Self {
        self.0.push_str(svg);
        self
    }

    /// Markup made elsewhere.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// The text of it.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// `text` as it may stand between tags and in quoted attributes. Characters that cannot be seen, or that turn the
/// direction of what follows, are spelled out: a file name is not to look like another.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

fn escape_into(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() || is_invisible(letter) => out.extend(letter.escape_default()),
            letter => out.push(letter),
        }
    }
}

/// Zero-width and direction marks, separators and noncharacters (Unicode Technical Report 36, 2.10).
fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || u32::from(letter) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_in_names_is_shown_not_obeyed() {
        assert_eq!(escape("<script>alert('1')</script>"), "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;");
        assert_eq!(escape("a\" onload=\"x&y"), "a&quot; onload=&quot;x&amp;y");
        assert_eq!(escape("été 日本.jpg"), "été 日本.jpg");
    }

    #[test]
    fn a_name_cannot_look_like_another() {
        assert_eq!(escape("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe");
        assert_eq!(escape("a\nb\0c\u{200b}"), "a\\nb\\u{0}c\\u{200b}");
    }

    #[test]
    fn a_number_that_is_none_is_zero() {
        let mut markup = Markup::default();
        markup.number("x", f64::NAN).number("y", f64::INFINITY).number("z", 1.25);
        assert_eq!(markup.into_string(), " x=\"0.0\" y=\"0.0\" z=\"1.2\"");
    }

    proptest! {
        #[test]
        fn nothing_escaped_holds_a_sign_of_markup(text in any::<String>()) {
            let escaped = escape(&text);
            let signs = ['<', '>', '"', '\'', '\0', '\n', '\u{202e}'];
            prop_assert!(!escaped.contains(signs));
        }
    }
}
