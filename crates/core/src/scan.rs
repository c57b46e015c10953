//! What packets and services report alike: a source that scans.

crate::event! {
    /// One source tried many ports of one bird.
    pub struct HostPortScan: "hostportscan", "Host Port Scan", [
        5003 "one source, one bird",
        5001 "SYN to a single closed port",
        5002 "network scan",
        5009 "RunFinger scan",
        5011 "RunFinger dialect",
        5012 "RunFinger LANMAN",
    ] {
        /// The ports in the order in which they were tried, joined by commas.
        ports: String => "ports" = "443,80,256,1720,445",
    }
}
