pub(crate) mod up_args;
