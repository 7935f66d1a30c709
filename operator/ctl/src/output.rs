//! Answers as text: tables for people, JSON and YAML for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Error;
use crate::text::printable;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns that fit a screen.
    #[default]
    Table,
    /// All columns.
    Wide,
    /// JSON with stable field names.
    Json,
    /// YAML with the same field names.
    Yaml,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    head: &'static str,
    is_wide: bool,
}

impl Column {
    /// A column of every table.
    pub const fn always(head: &'static str) -> Self {
        Self { head, is_wide: false }
    }

    /// A column of wide tables only.
    pub const fn wide(head: &'static str) -> Self {
        Self { head, is_wide: true }
    }
}

/// Something that can be an answer. Its serialised form has stable field names in camelCase.
pub trait View: Serialize {
    /// The columns of its tables.
    const COLUMNS: &'static [Column];

    /// One cell for each column; empty is shown as a dash.
    fn cells(&self) -> Vec<String>;

    /// What it is called: all that a quiet list shows.
    fn name(&self) -> String;
}

/// What stands between two columns.
const GAP: &str = "  ";
/// What an empty cell shows.
const NOTHING: &str = "-";

/// All of `views`, as lines that end with a line feed.
///
/// # Errors
/// When a view does not serialise.
pub fn list<V: View>(views: &[V], format: Format) -> Result<String, Error> {
    match format {
        Format::Table | Format::Wide => Ok(table(views, format)),
        Format::Json | Format::Yaml => document(&views, format),
    }
}

/// One view: a line for each field where it is for people.
///
/// # Errors
/// When the view does not serialise.
pub fn one<V: View>(view: &V, format: Format) -> Result<String, Error> {
    match format {
        Format::Table | Format::Wide => Ok(sheet(view)),
        Format::Json | Format::Yaml => document(view, format),
    }
}

/// Anything, as one JSON or YAML document.
///
/// # Errors
/// When it does not serialise.
pub fn document<T: Serialize>(value: &T, format: Format) -> Result<String, Error> {
    if format == Format::Yaml {
        let mut text =
            serde_saphyr::to_string(value).map_err(|error| Error::Shape(error.to_string()))?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        return Ok(text);
    }
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Error::Shape(error.to_string()))
}

/// One element of an endless answer: a line of JSON, a YAML document.
///
/// # Errors
/// When it does not serialise.
pub fn element<T: Serialize>(value: &T, format: Format) -> Result<String, Error> {
    if format == Format::Yaml {
        return document(value, format).map(|text| format!("---\n{text}"));
    }
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n").map_err(|error| Error::Shape(error.to_string()))
}

/// `views` under the heads of their columns.
pub fn table<V: View>(views: &[V], format: Format) -> String {
    let shown: Vec<usize> = (0..V::COLUMNS.len())
        .filter(|at| format == Format::Wide || !V::COLUMNS[*at].is_wide)
        .collect();
    let heads = shown.iter().map(|at| V::COLUMNS[*at].head.to_owned()).collect();
    let mut rows: Vec<Vec<String>> = vec![heads];
    rows.extend(views.iter().map(|view| {
        let cells = view.cells();
        shown.iter().map(|at| cell(&cells[*at])).collect()
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..shown.len()).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// One view, a column a line.
fn sheet<V: View>(view: &V) -> String {
    let width = V::COLUMNS.iter().map(|column| column.head.len()).max().unwrap_or(0);
    let rows = V::COLUMNS.iter().zip(view.cells());
    let line = |(column, text): (&Column, String)| {
        line(&[column.head.to_owned(), cell(&text)], &[width, 0])
    };
    rows.map(line).collect()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        write!(text, "{cell:width$}{GAP}").expect("because writing to a String cannot fail");
    }
    format!("{}\n", text.trim_end())
}

fn cell(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { printable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Fruit {
        plain_name: String,
        colour: Option<String>,
    }

    impl View for Fruit {
        const COLUMNS: &'static [Column] = &[Column::always("NAME"), Column::wide("COLOUR")];

        fn cells(&self) -> Vec<String> {
            vec![self.plain_name.clone(), self.colour.clone().unwrap_or_default()]
        }

        fn name(&self) -> String {
            self.plain_name.clone()
        }
    }

    fn fruits() -> Vec<Fruit> {
        let fruit = |name: &str, colour: Option<&str>| Fruit {
            plain_name: name.to_owned(),
            colour: colour.map(str::to_owned),
        };
        vec![fruit("fig", Some("blue\n")), fruit("quince", None)]
    }

    #[test]
    fn tables_line_up_and_hide_wide_columns() {
        assert_eq!(list(&fruits(), Format::Table).unwrap(), "NAME\nfig\nquince\n");
        let wide = "NAME    COLOUR\nfig     blue\\u{a}\nquince  -\n";
        assert_eq!(list(&fruits(), Format::Wide).unwrap(), wide);
        assert_eq!(list::<Fruit>(&[], Format::Table).unwrap(), "NAME\n");
    }

    #[test]
    fn one_view_is_a_sheet() {
        assert_eq!(one(&fruits()[1], Format::Table).unwrap(), "NAME    quince\nCOLOUR  -\n");
    }

    #[test]
    fn documents_have_camel_case_names() {
        let json = list(&fruits()[1..], Format::Json).unwrap();
        assert_eq!(json, "[\n  {\n    \"plainName\": \"quince\",\n    \"colour\": null\n  }\n]\n");
        let yaml = one(&fruits()[1], Format::Yaml).unwrap();
        assert_eq!(yaml, "plainName: quince\ncolour: null\n");
        let line = element(&fruits()[0], Format::Json).unwrap();
        assert_eq!(line, "{\"plainName\":\"fig\",\"colour\":\"blue\\n\"}\n");
        assert!(element(&fruits()[1], Format::Yaml).unwrap().starts_with("---\nplainName"));
    }
}
