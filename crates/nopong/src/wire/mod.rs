//! RESP for hostile peers, and "that is TLS / HTTP / SSH": bytes to replies, bounded in size, depth and time.
