// Lets only known tenants through.
import { NotFoundException, type PipeTransform } from '@nestjs/common';
import { isTenant, TENANTS, type Tenant } from '../tenants';

export class TenantPipe implements PipeTransform<string, Tenant> {
  transform(name: string): Tenant {
    if (isTenant(name)) return name;
    throw new NotFoundException(
      `There is no tenant ${name}; there are ${Object.keys(TENANTS).join(' and ')}`,
    );
  }
}
