;; Imports a function of the module nostart.wasm and exits with what it says of 40 and 2.
(module
  (import "nostart.wasm" "add" (func $add (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") i32.const 40 i32.const 2 call $add call $proc_exit))
