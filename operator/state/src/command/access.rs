use prost::Message;

/// Makes a user.
#[derive(Clone, PartialEq, Message)]
pub struct CreateUser {
    /// By the rules of an owner.
    #[prost(string, tag = "1")]
    pub name: String,
    /// May be empty.
    #[prost(string, tag = "2")]
    pub email: String,
}

/// Changes what can be changed of a user; absent fields stay.
#[derive(Clone, PartialEq, Message)]
pub struct SetUser {
    /// Who.
    #[prost(string, tag = "1")]
    pub name: String,
    /// May be empty.
    #[prost(string, optional, tag = "2")]
    pub email: Option<String>,
    /// Refuse all their credentials.
    #[prost(bool, optional, tag = "3")]
    pub suspended: Option<bool>,
    /// May do everything.
    #[prost(bool, optional, tag = "4")]
    pub cluster_admin: Option<bool>,
}

/// Removes a user with keys, tokens and grants; repositories stay.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteUser {
    /// Who.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Registers an SSH key.
#[derive(Clone, PartialEq, Message)]
pub struct AddKey {
    /// Whose.
    #[prost(string, tag = "1")]
    pub user: String,
    /// One line of an authorized_keys file without options.
    #[prost(string, tag = "2")]
    pub public_key: String,
}

/// Removes an SSH key.
#[derive(Clone, PartialEq, Message)]
pub struct RemoveKey {
    /// Whose.
    #[prost(string, tag = "1")]
    pub user: String,
    /// `SHA256:` and base64.
    #[prost(string, tag = "2")]
    pub fingerprint: String,
}

/// Makes an access token whose secret only the asker has.
#[derive(Clone, PartialEq, Message)]
pub struct CreateToken {
    /// Whose.
    #[prost(string, tag = "1")]
    pub user: String,
    /// SHA-256 of its text.
    #[prost(bytes = "vec", tag = "2")]
    pub hash: Vec<u8>,
    /// 1 read, 2 write, 3 admin.
    #[prost(uint32, tag = "3")]
    pub scope: u32,
    /// Paths of the only repositories it is good for; none is no such limit.
    #[prost(string, repeated, tag = "4")]
    pub repositories: Vec<String>,
    /// 0: for ever.
    #[prost(uint64, tag = "5")]
    pub lifetime_seconds: u64,
}

/// Ends a token.
#[derive(Clone, PartialEq, Message)]
pub struct RevokeToken {
    /// First 8 bytes of its SHA-256 as hex.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Gives a user a role, in place of the one had for the same subject.
#[derive(Clone, PartialEq, Message)]
pub struct GrantRole {
    /// Who.
    #[prost(string, tag = "1")]
    pub user: String,
    /// read, write, maintain or admin.
    #[prost(string, tag = "2")]
    pub role: String,
    /// `OWNER` or `OWNER/NAME`.
    #[prost(string, tag = "3")]
    pub subject: String,
}

/// Takes a role from a user.
#[derive(Clone, PartialEq, Message)]
pub struct RevokeRole {
    /// Who.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The role it must be; empty is whichever it is.
    #[prost(string, tag = "2")]
    pub role: String,
    /// `OWNER` or `OWNER/NAME`.
    #[prost(string, tag = "3")]
    pub subject: String,
}
