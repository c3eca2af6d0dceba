//! Everything that a database holds, as bytes, to look for what must not be in it.

use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text};

use super::{PostgresDatabase, World, connect};

impl World {
    /// Whether `text` stands anywhere in the database: as it is, as base64 or as hexadecimal digits.
    pub async fn stores(&self, text: &str) -> bool {
        let everything = self.everything_stored().await;
        let hex = text.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        let base64 = cnx::base::encoding::base64url(text.as_bytes());
        [text, &hex, &base64].iter().any(|form| everything.windows(form.len()).any(|w| w == form.as_bytes()))
    }

    /// The whole database: the files of SQLite with its log, or every row of PostgreSQL.
    pub async fn everything_stored(&self) -> Vec<u8> {
        match &self.database {
            None => {
                let path = self.settings.database_url.sqlite_path().unwrap();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let files = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|f| f.unwrap().path());
                files
                    .filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with(&name))
                    .flat_map(|f| std::fs::read(f).unwrap())
                    .collect()
            }
            Some(database) => {
                let url = database.url.clone();
                tokio::task::spawn_blocking(move || rows(&url)).await.unwrap()
            }
        }
    }
}

impl PostgresDatabase {
    /// Every row of every table.
    pub fn rows(&self) -> Vec<u8> {
        rows(&self.url)
    }
}

/// Each row on a line as PostgreSQL writes it, and after it, since it writes bytes as digits, the bytes themselves.
fn rows(url: &str) -> Vec<u8> {
    let mut conn = connect(url);
    let tables = "ARRAY(SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema'))";
    let tables: Vec<String> =
        diesel::select(diesel::dsl::sql::<Array<Text>>(tables)).get_result(&mut conn).unwrap();
    let mut all = Vec::new();
    for table in tables {
        let rows = format!("(SELECT string_agg(row::text, E'\\n') FROM {table} AS row)");
        let rows: Option<String> =
            diesel::select(diesel::dsl::sql::<Nullable<Text>>(&rows)).get_result(&mut conn).unwrap();
        for row in rows.iter().flat_map(|rows| rows.lines()) {
            all.extend_from_slice(row.as_bytes());
            all.push(b'\n');
            for bytes in row.split("\\x").skip(1) {
                all.extend(bytes_of(bytes));
                all.push(b'\n');
            }
        }
    }
    all
}

/// The bytes whose hexadecimal digits a text begins with.
fn bytes_of(text: &str) -> impl Iterator<Item = u8> {
    let digits: Vec<u32> = text.chars().map_while(|c| c.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}
