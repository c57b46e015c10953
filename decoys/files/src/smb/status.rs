//! What a request comes to (MS-ERREF 2.3.1).

/// An NTSTATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

macro_rules! statuses {
    ($($name:ident = $code:literal),+ $(,)?) => {
        impl Status {
            $( pub(super) const $name: Self = Self($code); )+

            /// As Samba spells it in its logs.
            pub(super) fn name(self) -> String {
                match self {
                    Self::OK => "ok".to_owned(),
                    $( Self::$name => concat!("NT_STATUS_", stringify!($name)).to_owned(), )+
                    Self(code) => format!("NT code 0x{code:08x}"),
                }
            }
        }
    };
}

impl Status {
    pub(super) const OK: Self = Self(0);

    /// Whether the answer is an error message and nothing else (MS-SMB2 3.3.4.4).
    pub(super) fn is_error(self) -> bool {
        self.0 >= 0xc000_0000 || self == Self::NO_MORE_FILES
    }
}

statuses! {
    PENDING = 0x0000_0103,
    NOTIFY_CLEANUP = 0x0000_010b,
    BUFFER_OVERFLOW = 0x8000_0005,
    NO_MORE_FILES = 0x8000_0006,
    INVALID_INFO_CLASS = 0xc000_0003,
    INFO_LENGTH_MISMATCH = 0xc000_0004,
    INVALID_HANDLE = 0xc000_0008,
    INVALID_PARAMETER = 0xc000_000d,
    NO_SUCH_FILE = 0xc000_000f,
    INVALID_DEVICE_REQUEST = 0xc000_0010,
    END_OF_FILE = 0xc000_0011,
    MORE_PROCESSING_REQUIRED = 0xc000_0016,
    ACCESS_DENIED = 0xc000_0022,
    BUFFER_TOO_SMALL = 0xc000_0023,
    OBJECT_NAME_INVALID = 0xc000_0033,
    OBJECT_NAME_NOT_FOUND = 0xc000_0034,
    OBJECT_NAME_COLLISION = 0xc000_0035,
    OBJECT_PATH_NOT_FOUND = 0xc000_003a,
    OBJECT_PATH_SYNTAX_BAD = 0xc000_003b,
    NO_EAS_ON_FILE = 0xc000_0052,
    PRIVILEGE_NOT_HELD = 0xc000_0061,
    LOGON_FAILURE = 0xc000_006d,
    RANGE_NOT_LOCKED = 0xc000_007e,
    INSUFFICIENT_RESOURCES = 0xc000_009a,
    PIPE_DISCONNECTED = 0xc000_00b0,
    FILE_IS_A_DIRECTORY = 0xc000_00ba,
    NOT_SUPPORTED = 0xc000_00bb,
    NETWORK_NAME_DELETED = 0xc000_00c9,
    BAD_NETWORK_NAME = 0xc000_00cc,
    NOT_A_DIRECTORY = 0xc000_0103,
    CANCELLED = 0xc000_0120,
    FILE_CLOSED = 0xc000_0128,
    FS_DRIVER_REQUIRED = 0xc000_019c,
    USER_SESSION_DELETED = 0xc000_0203,
    NOT_FOUND = 0xc000_0225,
    NO_SUCH_PIPE = 0xc000_0236,
    NOT_A_REPARSE_POINT = 0xc000_0275,
    NO_PREAUTH_INTEGRITY_HASH_OVERLAP = 0xc05d_0000,
}
