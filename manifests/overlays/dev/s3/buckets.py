"""Makes the buckets named on the command line that the S3 server does not have yet."""

import sys

import boto3


def main() -> None:
    """Run again, it does nothing."""
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in sys.argv[1:]:
        if name not in there:
            client.create_bucket(Bucket=name)
            print(f"made {name}", flush=True)


if __name__ == "__main__":
    main()
