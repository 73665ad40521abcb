"""What a deployment needs beside the processes: broker accounts, secrets and a demo event."""
