use super::*;

#[cfg(target_os = "linux")]
#[test]
fn an_error_of_one_file_differs_from_those_that_end_a_start() {
    // EIO, EUCLEAN; then EACCES, EMFILE, ENODEV and ENOTCONN, which say nothing about what is on the medium.
    for (number, is_one) in [
        (5, true),
        (117, true),
        (13, false),
        (24, false),
        (19, false),
        (107, false),
    ] {
        let error = io::Error::from_raw_os_error(number);
        assert_eq!(is_of_file(&error), is_one, "{error}");
    }
    let no_file = io::Error::new(io::ErrorKind::InvalidInput, "not a file");
    assert!(!is_of_file(&no_file));
}
