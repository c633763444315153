"""The commands: parse, wire, call, render. The only place that knows every adapter, the clock and the screen."""
