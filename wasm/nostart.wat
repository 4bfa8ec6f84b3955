;; A library: has functions, but no _start.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "answer") i32.const 42 call $proc_exit)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
