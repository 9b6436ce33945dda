"""What the container image needs beside the commands; nothing else imports it."""
