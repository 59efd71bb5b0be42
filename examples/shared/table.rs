//! Tables in the terminal.

/// A table with a header, its columns as wide as they have to be.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The header and the rows.
    pub fn cells(&self) -> (&[String], &[Vec<String>]) {
        match self.rows.split_first() {
            Some((header, rows)) => (header, rows),
            None => (&[], &[]),
        }
    }

    /// Prints it.
    pub fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
            if i == 0 {
                let lines: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
                println!("{}", lines.join("  "));
            }
        }
    }
}
