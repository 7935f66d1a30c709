//! A push's pack on its way in: spooled, scanned, resolved, checked, cut into segments.
