//! Everything that a database holds, as bytes, to look for what must not be in it.

use diesel::prelude::*;

use super::{World, connect};

impl World {
    /// Whether `text` stands anywhere in the database: as it is, as base64 or as hexadecimal digits.
    pub async fn stores(&self, text: &str) -> bool {
        let everything = self.everything_stored().await;
        let hex = text.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        let base64 = cnx::base::encoding::base64url(text.as_bytes());
        [text, &hex, &base64].iter().any(|form| everything.windows(form.len()).any(|w| w == form.as_bytes()))
    }

    /// The whole database: the files of SQLite with its log, or every table of PostgreSQL.
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
                tokio::task::spawn_blocking(move || dump(&url)).await.unwrap().into_bytes()
            }
        }
    }
}

fn dump(url: &str) -> String {
    let mut conn = connect(url);
    diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("database_to_xml(true, false, '')::text"))
        .get_result(&mut conn)
        .unwrap()
}
