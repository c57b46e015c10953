//! Names of functions as the headings of the protocol's section 6 spell them.

/// The name of a public function code.
pub(super) fn function(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "Read Coils",
        2 => "Read Discrete Inputs",
        3 => "Read Holding Registers",
        4 => "Read Input Registers",
        5 => "Write Single Coil",
        6 => "Write Single Register",
        7 => "Read Exception Status",
        8 => "Diagnostics",
        11 => "Get Comm Event Counter",
        12 => "Get Comm Event Log",
        15 => "Write Multiple Coils",
        16 => "Write Multiple Registers",
        17 => "Report Server ID",
        20 => "Read File Record",
        21 => "Write File Record",
        22 => "Mask Write Register",
        23 => "Read/Write Multiple Registers",
        24 => "Read FIFO Queue",
        43 => "Encapsulated Interface Transport",
        _ => return None,
    })
}

/// The name of a sub-function of Diagnostics (section 6.8.1), or of an encapsulated interface
/// (sections 6.20 and 6.21).
pub(super) fn sub_function(function: u8, code: u16) -> Option<&'static str> {
    Some(match (function, code) {
        (8, 0) => "Return Query Data",
        (8, 1) => "Restart Communications Option",
        (8, 2) => "Return Diagnostic Register",
        (8, 3) => "Change ASCII Input Delimiter",
        (8, 4) => "Force Listen Only Mode",
        (8, 10) => "Clear Counters and Diagnostic Register",
        (8, 11) => "Return Bus Message Count",
        (8, 12) => "Return Bus Communication Error Count",
        (8, 13) => "Return Bus Exception Error Count",
        (8, 14) => "Return Server Message Count",
        (8, 15) => "Return Server No Response Count",
        (8, 16) => "Return Server NAK Count",
        (8, 17) => "Return Server Busy Count",
        (8, 18) => "Return Bus Character Overrun Count",
        (8, 20) => "Clear Overrun Counter and Flag",
        (43, 13) => "CANopen General Reference Request and Response PDU",
        (43, 14) => "Read Device Identification",
        _ => return None,
    })
}
