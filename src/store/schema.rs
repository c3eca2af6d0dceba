//! The tables, for both backends: what `migrations/` makes, as Diesel reads it. Times are seconds since 1970 (`BigInt`),
//! ids and fingerprints are bytes (`Binary`), JSON is text. A test compares both databases with each other.

diesel::table! {
    meta (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    clients (client_id) {
        client_id -> Text,
        metadata -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    client_secrets (fingerprint) {
        fingerprint -> Binary,
        client_id -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        sealed -> Nullable<Binary>,
    }
}

diesel::table! {
    users (id) {
        id -> Binary,
        username -> Text,
        email -> Nullable<Text>,
        email_verified -> Bool,
        name -> Nullable<Text>,
        claims -> Text,
        is_admin -> Bool,
        password_hash -> Nullable<Text>,
        password_changed_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
        role -> Nullable<Text>,
        locale -> Nullable<Text>,
    }
}

diesel::table! {
    one_time_links (fingerprint) {
        fingerprint -> Binary,
        purpose -> Text,
        user_id -> Nullable<Binary>,
        created_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        email -> Nullable<Text>,
    }
}

diesel::table! {
    passkeys (id) {
        id -> Binary,
        user_id -> Binary,
        name -> Text,
        credential -> Text,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    totp_secrets (user_id) {
        user_id -> Binary,
        sealed -> Binary,
        created_at -> BigInt,
        last_step -> BigInt,
    }
}

diesel::table! {
    identity_providers (id) {
        id -> Text,
        issuer -> Text,
        provider -> Text,
        client_secret -> Nullable<Binary>,
        created_at -> BigInt,
    }
}

diesel::table! {
    identities (issuer, subject) {
        issuer -> Text,
        subject -> Text,
        user_id -> Binary,
        email -> Nullable<Text>,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    recovery_codes (user_id, fingerprint) {
        user_id -> Binary,
        fingerprint -> Binary,
        created_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    mails (id) {
        id -> Binary,
        sealed -> Binary,
        created_at -> BigInt,
        attempts -> Integer,
        next_try_at -> BigInt,
    }
}

diesel::table! {
    usage_counts (subject, hour, class, outcome) {
        subject -> Text,
        hour -> BigInt,
        class -> Text,
        outcome -> Text,
        requests -> BigInt,
    }
}

diesel::table! {
    refused_requests (request_id) {
        request_id -> Text,
        at -> BigInt,
        act -> Text,
        reason -> Nullable<Text>,
        actor -> Text,
        subject -> Nullable<Text>,
        address -> Nullable<Text>,
        details -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Binary,
        fingerprint -> Binary,
        user_id -> Binary,
        auth_time -> BigInt,
        amr -> Text,
        acr -> Text,
        created_at -> BigInt,
        last_seen_at -> BigInt,
        expires_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        user_agent -> Nullable<Text>,
        address -> Nullable<Text>,
    }
}

diesel::table! {
    consents (user_id, client_id) {
        user_id -> Binary,
        client_id -> Text,
        scope -> Text,
        granted_at -> BigInt,
    }
}

diesel::table! {
    families (id) {
        id -> Binary,
        client_id -> Text,
        user_id -> Binary,
        session_id -> Nullable<Binary>,
        scope -> Text,
        claims -> Text,
        nonce -> Nullable<Text>,
        auth_time -> BigInt,
        acr -> Text,
        amr -> Text,
        salt -> Binary,
        generation -> BigInt,
        rotated_at -> BigInt,
        created_at -> BigInt,
        expires_at -> BigInt,
        refreshable -> Bool,
        offline -> Bool,
        revoked_at -> Nullable<BigInt>,
        resources -> Text,
    }
}

diesel::table! {
    organizations (id) {
        id -> Binary,
        name -> Text,
        tier -> Text,
        created_at -> BigInt,
        burst -> Nullable<Integer>,
        title -> Nullable<Text>,
        colour -> Nullable<Text>,
        logo_type -> Nullable<Text>,
        logo -> Nullable<Binary>,
        second_factor -> Nullable<Text>,
    }
}

diesel::table! {
    service_accounts (id) {
        id -> Text,
        organization_id -> Binary,
        name -> Text,
        policy -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    service_account_keys (service_account_id, kid) {
        service_account_id -> Text,
        kid -> Text,
        alg -> Text,
        public_jwk -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        organization_id -> Binary,
        environment -> Text,
        name -> Text,
        description -> Nullable<Text>,
        created_by -> Text,
        scopes -> Text,
        allow_ips -> Text,
        deny_ips -> Text,
        limits -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        not_before -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        disabled_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        revoked_reason -> Nullable<Text>,
        rotation_due_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        last_used_address -> Nullable<Text>,
        last_used_resource -> Nullable<Text>,
        leak_policy -> Nullable<Text>,
        leaked_at -> Nullable<BigInt>,
        reminded_days -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_key_secrets (fingerprint) {
        fingerprint -> Binary,
        key_id -> Text,
        pepper -> Integer,
        tail -> Text,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    trust_rules (id) {
        id -> Binary,
        service_account_id -> Text,
        rule -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    spent (kind, id) {
        kind -> SmallInt,
        id -> Binary,
        family_id -> Nullable<Binary>,
        expires_at -> BigInt,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        alg -> Text,
        generation -> BigInt,
        private_sealed -> Nullable<Binary>,
        public_jwk -> Text,
        created_at -> BigInt,
        sign_from -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    changes (seq) {
        seq -> BigInt,
        kind -> Text,
        subject -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    audit_events (seq) {
        seq -> BigInt,
        at -> BigInt,
        act -> Text,
        actor -> Text,
        subject -> Nullable<Text>,
        outcome -> Text,
        reason -> Nullable<Text>,
        address -> Nullable<Text>,
        request_id -> Nullable<Text>,
        details -> Nullable<Text>,
        times -> BigInt,
        mac -> Binary,
    }
}

diesel::table! {
    throttles (key) {
        key -> Binary,
        failures -> Integer,
        first_failed_at -> BigInt,
        last_failed_at -> BigInt,
        blocked_until -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::joinable!(client_secrets -> clients (client_id));
diesel::allow_tables_to_appear_in_same_query!(client_secrets, clients);
