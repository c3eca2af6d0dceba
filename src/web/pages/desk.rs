//! What the console's pages are built of: sections with sentences, facts, tables and forms. A handler says what stands there; one
//! template says how, so that every list, every thing and every form looks and behaves alike.

use std::borrow::Cow;

use askama::Template;

use super::Seated;
use crate::base::time::Timestamp;

/// Our own words, in English; the page says them in its language.
pub type Words = Cow<'static, str>;

/// How something is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Doubt,
    /// Over, or not to be undone.
    Danger,
}

impl Tone {
    /// The class of a tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Plain => "tag",
            Self::Good => "tag tag-good",
            Self::Doubt => "tag tag-doubt",
            Self::Danger => "tag tag-danger",
        }
    }

    /// The class of a button.
    pub const fn button(self) -> &'static str {
        match self {
            Self::Good => "button button-small",
            Self::Danger => "button button-small button-plain button-danger",
            Self::Plain | Self::Doubt => "button button-small button-plain",
        }
    }
}

/// A piece of a sentence or of a cell: our words, or a value that stands alone.
#[derive(Clone)]
pub enum Piece {
    /// Our words.
    Say(Words),
    /// A value.
    Text(String),
    /// A value for machines: an id, an address.
    Code(String),
    /// A value that leads to its page.
    Link(String, String),
    /// Our words that lead to a page.
    Go(String, Words),
    /// A moment.
    At(Timestamp),
    /// A word in a frame.
    Tag(Words, Tone),
    /// A secret that is shown this once, with the id by which tools find it. No page has `Debug`.
    Secret(&'static str, String),
    /// A form in a row.
    Form(Box<Act>),
    /// A square of a colour of the organization's own style: `accent`.
    Swatch(&'static str),
}

impl Piece {
    /// A moment as people read it: `2026-11-26 07:40 UTC`.
    fn minute(&self) -> String {
        let Self::At(moment) = self else { return String::new() };
        let text = moment.to_rfc3339();
        match (text.get(..10), text.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time} UTC"),
            _ => text,
        }
    }
}

/// Our words.
pub fn say(words: impl Into<Words>) -> Piece {
    Piece::Say(words.into())
}

/// A value.
pub fn text(value: impl Into<String>) -> Piece {
    Piece::Text(value.into())
}

/// A value for machines.
pub fn code(value: &(impl ToString + ?Sized)) -> Piece {
    Piece::Code(value.to_string())
}

/// A moment, or our words where there is none.
pub fn at(moment: Option<Timestamp>, none: &'static str) -> Piece {
    moment.map_or_else(|| say(none), Piece::At)
}

/// A word in a frame.
pub fn tag(words: &'static str, tone: Tone) -> Piece {
    Piece::Tag(Cow::Borrowed(words), tone)
}

/// What is typed into an input.
#[derive(Clone)]
pub enum Kind {
    /// One line; the value of `autocomplete`.
    Line(&'static str),
    /// An e-mail address.
    Email,
    /// Several lines.
    Lines,
    /// One of these: the value, and our words for it.
    Choice(Vec<(String, Words)>),
    /// Yes or no.
    Check,
    /// A file of these types.
    File(&'static str),
}

/// An input of a form.
#[derive(Clone)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// What is allowed, where that has to be said.
    pub hint: &'static str,
    /// What is typed.
    pub kind: Kind,
    /// What was typed, or what stands there at first.
    pub value: String,
    /// Whether it may be left out.
    pub optional: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Field {
    /// An input that must be filled.
    pub fn new(name: &'static str, label: &'static str, kind: Kind, value: impl Into<String>) -> Self {
        Self { name, label, hint: "", kind, value: value.into(), optional: false, problem: None }
    }

    /// One that may be left out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same with a word about what is allowed.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// The value of `type`.
    fn input_type(&self) -> &'static str {
        match self.kind {
            Kind::Email => "email",
            Kind::File(_) => "file",
            _ => "text",
        }
    }

    /// The value of `autocomplete`.
    fn autocomplete(&self) -> &'static str {
        match self.kind {
            Kind::Line(autocomplete) => autocomplete,
            _ => "off",
        }
    }

    /// The types of a file.
    fn accept(&self) -> Option<&'static str> {
        match self.kind {
            Kind::File(types) => Some(types),
            _ => None,
        }
    }

    /// What is chosen among.
    fn choices(&self) -> Option<&[(String, Words)]> {
        match &self.kind {
            Kind::Choice(all) => Some(all),
            _ => None,
        }
    }

    /// Whether several lines are typed.
    fn is_lines(&self) -> bool {
        matches!(self.kind, Kind::Lines)
    }

    /// Whether it is yes or no.
    fn is_check(&self) -> bool {
        matches!(self.kind, Kind::Check)
    }
}

/// A form.
#[derive(Clone)]
pub struct Act {
    /// Where it goes.
    pub action: String,
    /// Its id, of which those of its inputs (`ID-NAME`) and its button (`ID-submit`) are made; no other form of the page has it.
    pub id: String,
    /// The words under which it is folded up; it stands open when absent.
    pub fold: Option<&'static str>,
    /// What one must know before.
    pub about: Vec<Vec<Piece>>,
    /// Hidden inputs.
    pub hidden: Vec<(&'static str, String)>,
    /// Inputs.
    pub fields: Vec<Field>,
    /// The words on the button.
    pub button: &'static str,
    /// How it is meant.
    pub tone: Tone,
    /// Whether it only asks, by GET, so that its answer has an address.
    pub asks: bool,
    /// Whether a file comes along.
    pub with_file: bool,
}

impl Act {
    /// A form that changes something, with a hidden `act` that says what.
    pub fn new(action: impl Into<String>, id: impl Into<String>, act: &str, button: &'static str) -> Self {
        Self {
            action: action.into(),
            id: id.into(),
            fold: None,
            about: Vec::new(),
            hidden: vec![("act", act.to_owned())],
            fields: Vec::new(),
            button,
            tone: Tone::Plain,
            asks: false,
            with_file: false,
        }
    }

    /// A form that asks.
    pub fn asking(action: &'static str, id: &'static str, button: &'static str) -> Self {
        Self { hidden: Vec::new(), asks: true, ..Self::new(action, id, "", button) }
    }

    /// The same with inputs.
    #[must_use]
    pub fn fields(mut self, fields: Vec<Field>) -> Self {
        self.fields = fields;
        self
    }

    /// The same with one more hidden input.
    #[must_use]
    pub fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// The same, meant so.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// The same, folded up under these words.
    #[must_use]
    pub fn fold(mut self, words: &'static str) -> Self {
        self.fold = Some(words);
        self
    }

    /// The same with a sentence before it.
    #[must_use]
    pub fn about(mut self, sentence: Vec<Piece>) -> Self {
        self.about.push(sentence);
        self
    }

    /// Notes what is wrong with an input; the first one where none has that name.
    pub fn refuse(&mut self, name: &str, problem: impl Into<String>) {
        let place = self.fields.iter().position(|field| field.name == name).unwrap_or(0);
        if let Some(field) = self.fields.get_mut(place) {
            field.problem = Some(problem.into());
        }
    }

    /// Whether an input is wrong.
    pub fn is_refused(&self) -> bool {
        self.fields.iter().any(|field| field.problem.is_some())
    }
}

/// A table.
#[derive(Clone, Default)]
pub struct Table {
    /// What it shows, for those who hear it.
    pub caption: &'static str,
    /// The heads of its columns.
    pub heads: Vec<&'static str>,
    /// Its rows.
    pub rows: Vec<Vec<Vec<Piece>>>,
    /// What stands there when there is no row.
    pub empty: &'static str,
    /// Where the rest is.
    pub next: Option<String>,
    /// Where the beginning is, on a later page.
    pub first: Option<String>,
}

/// A part of a page.
#[derive(Clone, Default)]
pub struct Section {
    /// Its heading; none when empty.
    pub head: &'static str,
    /// Sentences.
    pub about: Vec<Vec<Piece>>,
    /// Names and values.
    pub facts: Vec<(&'static str, Vec<Piece>)>,
    /// A table.
    pub table: Option<Table>,
    /// Forms.
    pub acts: Vec<Act>,
}

impl Section {
    /// One with a heading.
    pub fn headed(head: &'static str) -> Self {
        Self { head, ..Self::default() }
    }
}

/// A page of the console.
#[derive(Clone, Template)]
#[template(path = "console/desk.html")]
pub struct Desk {
    /// Common to all pages of somebody who is signed in.
    pub seat: Seated,
    /// What it is about.
    pub title: &'static str,
    /// The name of the one thing that it is about.
    pub thing: Option<String>,
    /// Where it stands below: the list of such things.
    pub above: Option<(&'static str, &'static str)>,
    /// What one comes here for.
    pub lead: &'static str,
    /// Links beside the heading.
    pub ways: Vec<(String, &'static str)>,
    /// Why something was not done that is no input's fault.
    pub refused: Option<String>,
    /// Its parts.
    pub sections: Vec<Section>,
}

impl Desk {
    /// A page without parts.
    pub fn new(seat: Seated, title: &'static str, lead: &'static str) -> Self {
        Self {
            seat,
            title,
            thing: None,
            above: None,
            lead,
            ways: Vec::new(),
            refused: None,
            sections: Vec::new(),
        }
    }

    /// Every input that is wrong: its id, and why.
    fn problems(&self) -> Vec<(String, &str)> {
        let acts = self.sections.iter().flat_map(|section| &section.acts);
        acts.flat_map(|act| {
            act.fields.iter().filter_map(move |field| {
                Some((format!("{}-{}", act.id, field.name), field.problem.as_deref()?))
            })
        })
        .collect()
    }
}
