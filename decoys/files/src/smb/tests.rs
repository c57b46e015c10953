use coalmine_core::suite;

#[test]
fn the_suite() {
    suite::check(&super::KIND);
}
