//! The key sets that clients registered, read: reading one takes longer than checking a signature with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::App;
use crate::base::id::ClientId;
use crate::jose::key_set::{KeyProblem, KeySet};

/// So many are kept; then all are forgotten, and those that are used come back.
const MOST: usize = 4_096;

/// What was read, by client, with the text that it was read from: another text, and it is read anew.
#[derive(Debug, Default)]
pub struct RegisteredKeys(Mutex<HashMap<ClientId, (Value, Arc<KeySet>)>>);

impl App {
    /// The keys of a client that registered `jwks`.
    pub fn registered_keys(&self, client: &ClientId, jwks: &Value) -> Result<Arc<KeySet>, KeyProblem> {
        let mut kept = self.registered_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((text, keys)) = kept.get(client)
            && text == jwks
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(KeySet::registered(jwks)?);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(client.clone(), (jwks.clone(), Arc::clone(&keys)));
        Ok(keys)
    }
}
