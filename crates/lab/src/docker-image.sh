# In the tree with Docker: /opt/image, what the containers of the lab are made of. Programs of the tree, the libraries
# they link to, and the files that resolving a name needs; 20 MB instead of a distribution.
systemctl -q disable docker.service docker.socket containerd.service 2>/dev/null || true
image=/opt/image
mkdir -p $image/{bin,etc,tmp,data,root,usr/local/etc/redis,lib,lib64,usr/lib,usr/bin,proc,sys,dev,run,var/run}
chmod 1777 $image/tmp
programs="bash sh cat ls id env sleep sed grep getent timeout mkdir chmod head tail ps redis-server redis-cli nc.openbsd ip"
for name in $programs; do
  file=$(command -v $name)
  cp -L "$file" $image/bin/${name%.openbsd}
  ldd "$file" | grep -oE '/[^ ]+' | while read -r lib; do
    mkdir -p $image"$(dirname "$lib")"
    cp -nL "$lib" $image"$lib"
  done
done
cp -L /lib/*-linux-gnu/libnss_{files,dns}.so.2 $image/lib/ 2>/dev/null || true
echo 'hosts: files dns' > $image/etc/nsswitch.conf
printf 'root:x:0:0::/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n' > $image/etc/passwd
printf 'root:x:0:\nredis:x:999:\n' > $image/etc/group
cp /etc/redis/redis.conf $image/usr/local/etc/redis/stock.conf
chroot $image /bin/redis-server --version
