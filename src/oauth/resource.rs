//! Resource indicators (RFC 8707): what a token is for, among what is registered. Names are compared byte for byte (C23).

use super::error::OAuthError;

/// The audience that is asked for by these resources, among the registered ones (the issuer when there are none): those, or
/// all when none is named. Compared byte for byte (C23).
pub fn audience_among<'a>(
    registered: &[String],
    issuer: &str,
    resources: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, OAuthError> {
    let mut audience = if registered.is_empty() { vec![issuer.to_owned()] } else { registered.to_vec() };
    let named: Vec<&str> = resources.collect();
    if named.iter().any(|resource| !audience.iter().any(|registered| registered == resource)) {
        return Err(OAuthError::InvalidTarget);
    }
    if !named.is_empty() {
        audience.retain(|registered| named.contains(&registered.as_str()));
    }
    Ok(audience)
}

/// What a token of a grant is for: the resources that are named now, each of which the grant was asked for; or those of the
/// grant (RFC 8707 §2.2).
pub fn narrowed(granted: &[String], named: &[String]) -> Result<Vec<String>, OAuthError> {
    if named.is_empty() {
        return Ok(granted.to_vec());
    }
    if !granted.is_empty() && named.iter().any(|resource| !granted.contains(resource)) {
        return Err(OAuthError::InvalidTarget);
    }
    Ok(named.to_vec())
}
