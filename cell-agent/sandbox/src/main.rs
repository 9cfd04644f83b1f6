//! The keeper's binary: small and static, so that each clone of it is cheap.

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    cfx_sandbox::keeper::main(&arguments)
}
