//! A form that is taken once: its sealed sheet says which form it was, and the first to send it spends that. A reload of the answer, or going
//! back and sending it again, does nothing a second time.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::id::{OnceId, UserId};
use crate::base::seal::Purpose;
use crate::base::time::Timestamp;
use crate::store::spent::{self, Once, SpentKind};
use crate::store::{Conn, StoreError};

/// How long a form may lie open, in seconds.
const LIFE: i64 = 12 * 3600;

/// What makes a form one of its kind. Sealed: it travels through the browser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sheet {
    id: OnceId,
    user: UserId,
    at: Timestamp,
}

/// A new sheet for this person.
pub fn sheet(app: &App, user: UserId, now: Timestamp) -> String {
    let sheet = Sheet { id: OnceId::new(&app.clock, &app.entropy), user, at: now };
    app.vault.seal(Purpose::FormOnce, &sheet, &app.entropy)
}

/// Opens the sheet of a form that this person sent; `None` for one of somebody else, or one that lay open for too long.
pub fn open(app: &App, sealed: &str, user: UserId, now: Timestamp) -> Option<Sheet> {
    let sheet: Sheet = app.vault.open(Purpose::FormOnce, sealed)?;
    (sheet.user == user && now.is_within(LIFE, sheet.at)).then_some(sheet)
}

impl Sheet {
    /// Spends it; whether this was the first time.
    pub(super) fn spend(&self, conn: &mut Conn) -> Result<bool, StoreError> {
        // As long as it opens, and a minute for clocks that differ.
        let forget_at = self.at.plus(LIFE + 60);
        Ok(spent::once(conn, SpentKind::Form, self.id.as_bytes(), None, forget_at)? == Once::First)
    }
}
