use gitstratum_core::{ErrorKind, RepoId, RepoPath, UnixMillis};
use gitstratum_state::command::{
    Change, Command, CreateRepository, CreateToken, CreateUser, DeleteRepository, Found, FoundNode,
    GrantRole, Origin, PartitionApplied,
};
use gitstratum_state::record::AuditLine;
use gitstratum_state::row::{AUDIT_KIND, Row};
use gitstratum_state::{Applied, Outcome, Rejection, Reply, State};

/// Wall clock of the first command.
pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// A founded control plane: one node, four partitions, user `admin` whose token hash is all 1.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) wall: UnixMillis,
    pub(crate) lines: Vec<AuditLine>,
    pub(crate) rows: Vec<Row>,
}

pub(crate) const ADMIN: Who = Who(1);

/// Somebody, by the byte that their token's hash is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who(pub u8);

impl World {
    pub(crate) fn empty() -> Self {
        let (lines, rows) = (Vec::new(), Vec::new());
        Self { state: State::default(), index: 2, wall: START, lines, rows }
    }

    pub(crate) fn founded() -> Self {
        let mut world = Self::empty();
        world.ok(None, Change::Found(found(1)));
        world
    }

    /// The next command of the log.
    pub(crate) fn command(&mut self, who: Option<Who>, change: Change) -> Command {
        self.index += 1;
        self.wall.0 += 1;
        let origin = match who {
            None => Origin::system(),
            Some(Who(byte)) => Origin::person(&[byte; 32], "r1", "127.0.0.1"),
        };
        let mut request = [0; 16];
        request[..8].copy_from_slice(&self.index.to_be_bytes());
        Command::new(request, self.wall, origin, change)
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Outcome {
        let Applied { outcome, rows, .. } = self.state.apply(self.index, command);
        for (key, value) in &rows {
            if key[0] == AUDIT_KIND {
                let value = value.as_ref().expect("because apply deletes no line itself");
                self.lines.push(AuditLine::from_row(key, value).expect("because we wrote it"));
            }
        }
        self.rows.extend(rows);
        outcome
    }

    pub(crate) fn run(&mut self, who: Option<Who>, change: Change) -> Result<Reply, Rejection> {
        let command = self.command(who, change);
        self.apply(&command).result
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, who: Option<Who>, change: Change) -> Reply {
        self.run(who, change).expect("the command should be done")
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, who: Option<Who>, change: Change) -> (ErrorKind, String) {
        let before = self.state.clone();
        let rejection = self.run(who, change).expect_err("the command should be refused");
        assert_eq!(self.state.to_json(), before.to_json(), "a refusal changes nothing");
        assert_eq!(self.state.version(), before.version());
        (rejection.kind, rejection.message)
    }

    /// A user with a token of scope admin.
    pub(crate) fn user(&mut self, name: &str, who: Who) {
        self.ok(Some(ADMIN), create_user(name));
        self.token(name, who, 3, &[]);
    }

    pub(crate) fn token(&mut self, user: &str, who: Who, scope: u32, repositories: &[&str]) {
        self.ok(Some(ADMIN), create_token(user, who, scope, repositories));
    }

    pub(crate) fn repository(&mut self, path: &str) -> RepoId {
        match self.ok(Some(ADMIN), create(path)) {
            Reply::Repository(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Every partition has applied everything.
    pub(crate) fn settle(&mut self) {
        let version = self.state.version().0;
        for partition in 0..4 {
            self.ok(None, Change::PartitionApplied(PartitionApplied { partition, version }));
        }
    }
}

pub(crate) fn found(nodes: u64) -> Found {
    Found {
        cluster: vec![7; 16],
        generation: 1,
        partitions: 4,
        replication_factor: u32::try_from(nodes).expect("a small number"),
        nodes: (1..=nodes)
            .map(|index| FoundNode { id: (1 << 48) | index, zone: String::new() })
            .collect(),
        admin: "admin".to_owned(),
        admin_token: vec![1; 32],
        join_token: vec![0xee; 32],
    }
}

pub(crate) fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a good path")
}

pub(crate) fn create(path: &str) -> Change {
    Change::CreateRepository(CreateRepository { path: path.to_owned(), ..Default::default() })
}

pub(crate) fn delete(path: &str) -> Change {
    Change::DeleteRepository(DeleteRepository { path: path.to_owned() })
}

pub(crate) fn create_user(name: &str) -> Change {
    Change::CreateUser(CreateUser { name: name.to_owned(), email: String::new() })
}

pub(crate) fn create_token(user: &str, who: Who, scope: u32, repositories: &[&str]) -> Change {
    Change::CreateToken(CreateToken {
        user: user.to_owned(),
        hash: vec![who.0; 32],
        scope,
        repositories: repositories.iter().map(|path| (*path).to_owned()).collect(),
        lifetime_seconds: 0,
    })
}

pub(crate) fn grant(user: &str, role: &str, subject: &str) -> Change {
    Change::GrantRole(GrantRole {
        user: user.to_owned(),
        role: role.to_owned(),
        subject: subject.to_owned(),
    })
}
